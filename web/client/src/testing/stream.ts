// SPDX-License-Identifier: Apache-2.0
// `GET /v1/stream` of the fake server, as a fetch.
import type { ServerFrame } from '../protocol.js';
import type { FakeServer } from './server.js';
import { FakeSession } from './session.js';

export function fakeFetch(server: FakeServer): typeof fetch {
  return async (input, init) => {
    await Promise.resolve();
    if (server.down) throw new TypeError('fetch failed');
    const token = new Headers(init?.headers).get('Authorization')?.replace('Bearer ', '') ?? '';
    const keys = new URL(String(input)).searchParams.getAll('account');
    const problem = server.fault(token);
    if (problem) return new Response(JSON.stringify({ code: problem }), { status: 401 });
    let lastEvent = 0;
    const encoder = new TextEncoder();
    const replica = server.pick();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        const say = (frame: ServerFrame): void => {
          if (frame.ev === 'hello' || frame.ev === 'mark' || frame.ev === 'ok') return;
          const { ev, ...rest } = frame as ServerFrame & { u?: object[] };
          const events = ev === 'upd' ? (rest.u ?? []) : [rest];
          events.forEach((data, at) => {
            const id = at + 1 < events.length || ev === 'state' ? '' : `id: ${++lastEvent}\n`; // one covers all of a write
            controller.enqueue(encoder.encode(`event: ${ev}\ndata: ${JSON.stringify(data)}\n${id}\n`));
          });
        };
        let open = true;
        const end = (): void => {
          if (!open) return;
          open = false;
          replica.sessions.delete(session);
          controller.close();
        };
        const session = new FakeSession(server, replica, (frame) => open && say(frame), end);
        server.sessions.push(session);
        replica.sessions.add(session);
        init?.signal?.addEventListener('abort', end);
        session.command({ op: 'hello', token });
        session.command({ op: 'sub', id: 1, keys });
      },
    });
    return new Response(body, { status: 200, headers: { 'Content-Type': 'text/event-stream' } });
  };
}
