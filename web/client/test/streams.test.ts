// SPDX-License-Identifier: Apache-2.0
// Where WebSockets do not work.
import { describe, expect, it } from 'vitest';
import { last, minorOf, rig } from './rig.js';

describe('where WebSockets are blocked', () => {
  it('a stream is used instead, and sockets again later', async () => {
    const { server, run, watch, client, states } = rig();
    server.socketsBlocked = true;
    server.set('A', 1);
    server.set('B', 2);
    const seen = watch('A');
    await run(10_000);
    expect(last(states)).toMatchObject({ status: 'live', transport: 'sse' });
    expect(last(seen)).toMatchObject({ status: 'live', balance: { minor: 1n } });
    const more = watch('B');
    await run(1000);
    expect(last(more).status).toBe('live');
    server.set('A', 3);
    await run(100);
    expect(minorOf(last(seen))).toBe(3n);
    server.socketsBlocked = false;
    await run(310_000);
    expect(last(states)).toMatchObject({ status: 'live', transport: 'websocket' });
    expect(last(seen).status).toBe('live');
    expect(client.get('B').status).toBe('live');
    expect(server.live()).toHaveLength(1);
  });

  it('a gateway that is away does not pass for a proxy', async () => {
    const { server, run, watch, states } = rig();
    server.down = true;
    watch('A');
    await run(60_000);
    server.down = false;
    await run(60_000);
    expect(last(states)).toMatchObject({ status: 'live' });
  });

  it('a platform without either says what to pass', () => {
    const native = Object.getOwnPropertyDescriptor(globalThis, 'WebSocket');
    Object.defineProperty(globalThis, 'WebSocket', { configurable: true, value: undefined });
    expect(() => rig({ webSocket: undefined as never, fallback: 'none' })).toThrow(/webSocket: WebSocket/);
    if (native) Object.defineProperty(globalThis, 'WebSocket', native);
  });
});
