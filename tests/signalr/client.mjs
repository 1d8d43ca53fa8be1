// SPDX-License-Identifier: Apache-2.0
//
// client: the estate's own client programs, unmodified, under the orders of a test. One process
// hosts many connections: npm's SignalR clients of four generations, and plain WebSockets of `ws` for
// the estate app's frames. Orders are JSON lines on stdin, what happens is JSON lines on stdout:
//   {"op":"open","c":1,"version":10,"url":…}  then start, invoke, send, stream, stop, drop
//   {"op":"app","c":2,"url":…}                then say, stop, drop
//   ← {"c":1,"ev":"event","target":"balanceUpdate","args":[…]} and so on; `n` of a call comes back.
// Usage: node client.mjs FOLDER-WITH-NODE_MODULES
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";

const load = createRequire(path.join(path.resolve(process.argv[2]), "package.json"));
const WebSocket = load("ws");
const connections = new Map();
const LOG_WARNINGS = 3;
delete globalThis.fetch; // 5.0 is of the time before Node had one, and takes it for a browser's

// Returns nothing: what a handler returns is taken for a result of the client's.
function tell(c, ev, more) {
  process.stdout.write(JSON.stringify({ c, ev, ...more }) + "\n");
}

const text = (error) => (error === undefined || error === null ? null : String(error.message ?? error));

// A list is what the factory gives call after call; its last one from then on.
function tokens(c, given) {
  const list = Array.isArray(given) ? [...given] : [given];
  return () => {
    const next = list.length > 1 ? list.shift() : list[0];
    tell(c, "token", {});
    return next;
  };
}

function transportOf(signalr, name) {
  const kinds = signalr.HttpTransportType;
  return { ws: kinds.WebSockets, sse: kinds.ServerSentEvents, poll: kinds.LongPolling }[name];
}

function build(o) {
  const signalr = load(`signalr${o.version}`);
  const http = { logger: { log: (level, message) => level >= LOG_WARNINGS && tell(o.c, "log", { level, message }) } };
  if (o.token !== undefined) http.accessTokenFactory = tokens(o.c, o.token);
  if (o.transport) http.transport = transportOf(signalr, o.transport);
  if (o.skip) http.skipNegotiation = true;
  const builder = new signalr.HubConnectionBuilder().withUrl(o.url, http).configureLogging(http.logger);
  if (o.reconnect) builder.withAutomaticReconnect(o.reconnect === true ? undefined : o.reconnect);
  if (o.stateful) builder.withStatefulReconnect();
  if (o.msgpack) builder.withHubProtocol(new (load("@microsoft/signalr-protocol-msgpack").MessagePackHubProtocol)());
  const hub = builder.build();
  if (o.serverTimeout) hub.serverTimeoutInMilliseconds = o.serverTimeout;
  if (o.keepAlive) hub.keepAliveIntervalInMilliseconds = o.keepAlive;
  for (const name of o.on ?? ["balanceUpdate", "subscriptionConfirmed", "balanceState"])
    hub.on(name, (...args) => tell(o.c, "event", { target: name, args }));
  hub.onclose((error) => tell(o.c, "closed", { error: text(error) }));
  hub.onreconnecting((error) => tell(o.c, "reconnecting", { error: text(error) }));
  hub.onreconnected((id) => {
    tell(o.c, "reconnected", { id: id ?? null });
    if (o.again) hub.invoke(...o.again).then(() => {}, (error) => tell(o.c, "failed", { n: 0, error: text(error) }));
  });
  return hub;
}

// `value` is left out where the client's promise resolved with undefined.
function call(o, promise) {
  promise.then((value) => tell(o.c, "done", { n: o.n, value }), (error) => tell(o.c, "failed", { n: o.n, error: text(error) }));
}

function open(o) {
  try {
    connections.set(o.c, build(o));
  } catch (error) {
    tell(o.c, "failed", { n: o.n, error: text(error) });
  }
}

function app(o) {
  const socket = new WebSocket(o.url, { headers: o.headers ?? {}, perMessageDeflate: false });
  connections.set(o.c, socket);
  socket.on("open", () => tell(o.c, "open", {}));
  socket.on("message", (data, binary) => tell(o.c, "frame", { text: data.toString(), binary }));
  socket.on("close", (code, reason) => tell(o.c, "closed", { code, reason: reason.toString() }));
  socket.on("unexpected-response", (_, reply) => {
    let body = "";
    reply.on("data", (data) => (body += data));
    reply.on("end", () => tell(o.c, "refused", { status: reply.statusCode, body }));
  });
  socket.on("error", (error) => tell(o.c, "error", { error: text(error) }));
}

const orders = {
  open,
  app,
  start: (o, hub) =>
    call(o, hub.start().then(() => ({ id: hub.connectionId ?? null, state: String(hub.state), transport: hub.connection?.transport?.constructor?.name }))),
  invoke: (o, hub) => call(o, hub.invoke(o.target, ...o.args)),
  send: (o, hub) => call(o, hub.send(o.target, ...o.args)),
  stream: (o, hub) =>
    hub.stream(o.target, ...o.args).subscribe({
      next: (item) => tell(o.c, "item", { n: o.n, item }),
      complete: () => tell(o.c, "done", { n: o.n }),
      error: (error) => tell(o.c, "failed", { n: o.n, error: text(error) }),
    }),
  state: (o, hub) => tell(o.c, "done", { n: o.n, value: String(hub.state) }),
  say: (o, socket) => socket.send(o.text),
  stop: (o, it) => (it instanceof WebSocket ? it.close() : call(o, it.stop())),
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const o = JSON.parse(line);
  orders[o.op](o, connections.get(o.c));
}).on("close", () => process.exit(0));
// 3.1 throws a refused handshake out of its socket's handler too: a browser logs that and goes on, and so do we.
process.on("uncaughtException", (error) => tell(0, "uncaught", { error: text(error) }));
process.on("unhandledRejection", (error) => tell(0, "unhandled", { error: text(error) }));
tell(0, "ready", {});
