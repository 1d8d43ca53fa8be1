// SPDX-License-Identifier: Apache-2.0
// Conversations with the gateway, each in one of its languages, frame by frame. No client library stands between: what is shown is
// what is on the wire, but for the token.
export type Direction = 'sent' | 'came' | 'note';
export interface Frame {
  readonly direction: Direction;
  readonly text: string;
}
export type Hear = (frame: Frame) => void;

export interface Talk {
  send(text: string): void;
  end(): void;
}

export interface Language {
  readonly name: string;
  readonly about: string;
  readonly examples: (account: string) => readonly { readonly label: string; readonly text: string }[];
  readonly open: (token: string, hear: Hear, first: string) => Talk;
  readonly once: boolean; // a request each; else a conversation
}

const RECORD_END = '\u001e';
const wsUrl = (query = '') => `${location.origin.replace(/^http/, 'ws')}/ws${query}`;
const pretty = (value: unknown) => JSON.stringify(value);

function socket(url: string, protocols: string[], hear: Hear, opened: (send: (text: string) => void) => void, cut = (text: string) => [text]): Talk {
  const ws = protocols.length ? new WebSocket(url, protocols) : new WebSocket(url);
  const say = (text: string, shown = text) => {
    if (ws.readyState !== WebSocket.OPEN) return hear({ direction: 'note', text: 'not connected' });
    ws.send(text);
    return hear({ direction: 'sent', text: shown });
  };
  ws.onopen = () => {
    hear({ direction: 'note', text: `connected${ws.protocol && `, ${ws.protocol}`}` });
    opened((text) => say(text));
  };
  ws.onmessage = ({ data }: MessageEvent<string>) => {
    for (const text of cut(data)) hear({ direction: 'came', text });
  };
  ws.onclose = ({ code, reason }) => hear({ direction: 'note', text: `closed, ${code}${reason && ` ${reason}`}` });
  return { send: (text) => say(text), end: () => ws.close(1000) };
}

function hidden(text: string, token: string) {
  return text.replaceAll(token, '…token…');
}

const native: Language = {
  name: 'Native',
  about: 'bgw.v1: one JSON object a frame. The page says hello with your token; the rest is yours.',
  once: false,
  examples: (account) => [
    { label: 'Subscribe', text: pretty({ op: 'sub', id: 1, keys: [account] }) },
    { label: 'Unsubscribe', text: pretty({ op: 'unsub', id: 2, keys: [account] }) },
    { label: 'Slower', text: pretty({ op: 'rate', id: 3, max_hz: 1 }) },
    { label: 'Repair', text: pretty({ op: 'repair', id: 4 }) },
    { label: 'Ping', text: pretty({ op: 'ping', id: 5 }) },
    { label: 'Nonsense', text: '{"op":' },
  ],
  open: (token, hear, first) =>
    socket(wsUrl(), ['bgw.v1'], (frame) => hear({ ...frame, text: hidden(frame.text, token) }), (send) => {
      send(pretty({ op: 'hello', token, client: 'console/0.1 try' }));
      if (first) send(first);
    }),
};

function signalr(token: string, hear: Hear, first: string): Talk {
  let talk: Talk | null = null;
  let ended = false;
  const told: Hear = (frame) => hear({ ...frame, text: hidden(frame.text, token) });
  const begin = async () => {
    told({ direction: 'sent', text: 'POST /ws/negotiate?negotiateVersion=1' });
    const reply = await fetch('/ws/negotiate?negotiateVersion=1', { method: 'POST', headers: { authorization: `Bearer ${token}` } });
    const body = await reply.text();
    told({ direction: 'came', text: `${reply.status} ${body}` });
    if (!reply.ok || ended) return;
    const { connectionToken } = JSON.parse(body) as { connectionToken: string };
    const query = `?id=${encodeURIComponent(connectionToken)}&access_token=${encodeURIComponent(token)}`;
    const cut = (text: string) => text.split(RECORD_END).filter(Boolean);
    talk = socket(wsUrl(query), [], told, (send) => {
      send(`{"protocol":"json","version":1}${RECORD_END}`);
      if (first) send(first + RECORD_END);
    }, cut);
  };
  begin().catch((error: unknown) => told({ direction: 'note', text: String(error) }));
  return { send: (text) => talk?.send(text + RECORD_END), end: () => ((ended = true), talk?.end()) };
}

const estate: Language = {
  name: 'App frames',
  about: 'The estate app’s own objects, without a separator. The token goes in the address.',
  once: false,
  examples: (account) => [
    { label: 'Subscribe', text: pretty({ type: 'invoke', method: 'SubscribeBalance', args: [account] }) },
    { label: 'Unsubscribe', text: pretty({ type: 'invoke', method: 'UnsubscribeBalance', args: [account] }) },
    { label: 'No such method', text: pretty({ type: 'invoke', method: 'Nothing', args: [] }) },
  ],
  open: (token, hear, first) =>
    socket(wsUrl(`?access_token=${encodeURIComponent(token)}`), [], (frame) => hear({ ...frame, text: hidden(frame.text, token) }), (send) => first && send(first)),
};

/** Asks, and hears the answer as it comes, events of a stream one by one. */
function ask(token: string, hear: Hear, first: string): Talk {
  const controller = new AbortController();
  const run = async (line: string) => {
    const [method, path, ...rest] = line.trim().split(/\s+/);
    hear({ direction: 'sent', text: line });
    // else the browser would add no-cache, which asks for a proof
    const headers = new Headers({ authorization: `Bearer ${token}`, 'cache-control': 'no-store' });
    for (const header of rest.join(' ').split(/;\s*/).filter(Boolean)) headers.set(header.slice(0, header.indexOf(':')), header.slice(header.indexOf(':') + 1));
    const began = performance.now();
    const reply = await fetch(path ?? '/', { method: method ?? 'GET', headers, cache: 'no-store', signal: controller.signal });
    const shown = ['x-balance-source', 'x-cache-status', 'etag', 'age', 'warning', 'content-type'].filter((name) => reply.headers.has(name));
    hear({ direction: 'came', text: `${reply.status}, ${(performance.now() - began).toFixed(1)} ms  ${shown.map((name) => `${name}: ${reply.headers.get(name)}`).join('  ')}` });
    if (reply.headers.get('content-type') !== 'text/event-stream') return hear({ direction: 'came', text: await reply.text() });
    let rest2 = '';
    const reader = reply.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return hear({ direction: 'note', text: 'the stream ended' });
      const events = (rest2 + value).split('\n\n');
      rest2 = events.pop()!;
      for (const text of events) hear({ direction: 'came', text });
    }
  };
  const safely = (line: string) => void run(line).catch((error: unknown) => controller.signal.aborted || hear({ direction: 'note', text: String(error) }));
  if (first) safely(first);
  return { send: safely, end: () => (controller.abort(), hear({ direction: 'note', text: 'ended' })) };
}

export const LANGUAGES: readonly Language[] = [
  native,
  {
    name: 'SignalR',
    about: 'ASP.NET’s hub protocol in JSON: negotiate, a handshake, then records that end in 0x1E (not shown).',
    once: false,
    examples: (account) => [
      { label: 'Subscribe', text: pretty({ type: 1, invocationId: '1', target: 'SubscribeBalance', arguments: [account] }) },
      { label: 'Subscribe several', text: pretty({ type: 1, invocationId: '2', target: 'SubscribeMultipleBalances', arguments: [[account]] }) },
      { label: 'Unsubscribe', text: pretty({ type: 1, invocationId: '3', target: 'UnsubscribeBalance', arguments: [account] }) },
      { label: 'Ping', text: pretty({ type: 6 }) },
    ],
    open: signalr,
  },
  estate,
  {
    name: 'Event stream',
    about: 'Server-Sent Events: a request that goes on answering.',
    once: true,
    examples: (account) => [{ label: 'Stream', text: `GET /v1/stream?account=${encodeURIComponent(account)}` }],
    open: ask,
  },
  {
    name: 'REST',
    about: 'One balance, several, statistics. A header may follow the path: GET /path If-None-Match:"…"',
    once: true,
    examples: (account) => [
      { label: 'Balance', text: `GET /ledger/accounts/${encodeURIComponent(account)}/balance` },
      { label: 'Proved', text: `GET /ledger/accounts/${encodeURIComponent(account)}/balance Cache-Control:no-cache` },
      { label: 'Several', text: `GET /v1/balances?account=${encodeURIComponent(account)}&account=nobody-knows-me` },
      { label: 'Cache', text: 'GET /v1/stats/cache' },
      { label: 'Shedding', text: 'GET /v1/stats/shedding' },
      { label: 'Health', text: 'GET /readyz?verbose' },
    ],
    open: ask,
  },
];
