// SPDX-License-Identifier: Apache-2.0
// An event stream that looks like a socket: where WebSockets are blocked, `GET /v1/stream` over fetch.
// Commands become another request, which goes on where the last one was by its last event id, so nothing
// is lost and nobody notices. Invariant: one request at a time; each subscribe is answered once.
import type { Command, ServerFrame } from './protocol.js';
import type { Clock } from './types.js';
import { addressOf, type Connection, type Listener } from './transport.js';

const ACCOUNTS_MAX = 200; // of a stream
const SETTLE_MS = 20; // commands that come together become one request
const PING_S = 40; // asked about after half of it: more than the gateway's 15 s between comments

interface Fields {
  event: string;
  data: string[];
}

export function openStream(request: typeof fetch, url: string, clock: Clock, listener: Listener): Connection {
  const keys = new Set<string>();
  let token = '';
  let lastId = '';
  let waiting: number[] = []; // ids of subscribes that the next stream answers
  let under: AbortController | null = null;
  let timer: unknown;
  let over = false;

  function end(code: number, reason: string, retryMs = 0): void {
    if (over) return;
    close();
    listener.closed(code, reason, retryMs);
  }

  function close(): void {
    over = true;
    clock.clearTimeout(timer);
    under?.abort();
  }

  function again(): void {
    clock.clearTimeout(timer);
    timer = clock.setTimeout(() => void run(), SETTLE_MS);
  }

  async function run(): Promise<void> {
    under?.abort();
    const abort = (under = new AbortController());
    if (!keys.size) return;
    const query = new URLSearchParams([...keys].map((key) => ['account', key]));
    if (lastId) query.set('last_event_id', lastId);
    const answers = waiting;
    waiting = [];
    try {
      const response = await request(`${addressOf(url, '/v1/stream', 'http')}?${query}`, {
        headers: { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' },
        cache: 'no-store',
        signal: abort.signal,
      });
      if (abort.signal.aborted) return void waiting.push(...answers);
      if (!response.ok) return await refused(response);
      if (!response.body) return end(0, 'no_streaming');
      await read(response.body, answers, abort.signal);
      if (!abort.signal.aborted) end(0, 'stream_ended');
    } catch {
      if (abort.signal.aborted) waiting.push(...answers);
      else end(0, 'unreachable');
    }
  }

  async function refused(response: Response): Promise<void> {
    const problem = (await response.json().catch(() => ({}))) as { code?: string };
    const reason = problem.code ?? `http_${response.status}`;
    const retryMs = 1000 * Number(response.headers.get('Retry-After') ?? 0) || 0;
    if (response.status === 403 && reason === 'no_grant') {
      listener.frame({ ev: 'sub', id: waiting.pop() ?? -1, ok: [], current: [], denied: [...keys].map((key) => ({ key, code: reason })) });
    } else {
      end(response.status === 401 ? 3500 : response.status === 403 ? 3507 : 0, reason, retryMs);
    }
  }

  async function read(body: ReadableStream<Uint8Array>, answers: number[], signal: AbortSignal): Promise<void> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let rest = '';
    let fields: Fields = { event: '', data: [] };
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      listener.heard();
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r/);
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line) {
          field(fields, line);
          continue;
        }
        if (fields.data.length) said(fields.event, JSON.parse(fields.data.join('\n')) as object, answers);
        if (signal.aborted) return;
        fields = { event: '', data: [] };
      }
    }
  }

  function field(fields: Fields, line: string): void {
    const [name, value] = [/^[^:]*/.exec(line)![0], line.replace(/^[^:]*:? ?/, '')];
    if (name === 'event') fields.event = value;
    if (name === 'data') fields.data.push(value);
    if (name === 'id') lastId = value;
  }

  function said(event: string, data: object, answers: number[]): void {
    if (event === 'upd') return listener.frame({ ev: 'upd', u: [data] } as unknown as ServerFrame);
    const frame = { ...data, ev: event } as { -readonly [K in keyof ServerFrame]: ServerFrame[K] } & { id?: number };
    if (event === 'bye') {
      const { code, reason, retry_ms: retryMs } = data as { code: number; reason?: string; retry_ms?: number };
      return end(code, reason ?? '', retryMs);
    }
    if (event === 'sub') {
      for (const id of answers.splice(0, answers.length - 1)) listener.frame({ ev: 'ok', id });
      frame.id = answers.pop() ?? -1;
    }
    listener.frame(frame as ServerFrame);
    if (event === 'live') listener.frame({ ev: 'mark' }); // everything that there is was sent
  }

  function subscribe(id: number, asked: readonly string[]): void {
    const room = asked.slice(0, Math.max(0, ACCOUNTS_MAX - keys.size));
    const denied = asked.slice(room.length).map((key) => ({ key, code: 'too_many_keys' }));
    for (const key of room) keys.add(key);
    if (denied.length) listener.frame({ ev: 'sub', id, ok: [], current: [], denied });
    if (!room.length) return;
    waiting.push(id);
    again();
  }

  const commands: { [O in Command['op']]: (command: Extract<Command, { op: O }>) => void } = {
    hello: (command) => {
      token = command.token;
      lastId = command.resume ?? '';
      // the gateway's own hello is a comment; whether it is there shows with the first request
      queueMicrotask(() => over || listener.frame({ ev: 'hello', ping_s: PING_S }));
    },
    sub: ({ id, keys: asked }) => subscribe(id, asked),
    unsub: ({ id, keys: left }) => {
      for (const key of left) keys.delete(key);
      queueMicrotask(() => over || listener.frame({ ev: 'ok', id }));
      again();
    },
    auth: ({ id, token: next }) => {
      token = next;
      queueMicrotask(() => over || listener.frame({ ev: 'ok', id }));
      again();
    },
    repair: ({ id }) => {
      lastId = '';
      waiting.push(id); // answered when the next stream begins
      again();
    },
    ping: () => again(), // nothing can be asked on a stream: a new one answers
  };

  queueMicrotask(() => over || listener.opened());
  return {
    send: (command) => (commands[command.op] as (command: Command) => void)(command),
    close,
  };
}
