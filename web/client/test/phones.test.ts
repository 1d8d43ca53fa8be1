// SPDX-License-Identifier: Apache-2.0
// Background, sleep, networks that come and go, and cold starts without one.
import { describe, expect, it } from 'vitest';
import { last, rig } from './rig.js';

describe('phones', () => {
  it('retry nothing in the background, and at once when they are looked at again', async () => {
    const { server, run, watch, client, states } = rig();
    server.set('A', 1);
    const seen = watch('A');
    await run(100);
    client.notifyBackground();
    server.drop();
    await run(3600_000);
    expect(server.sockets).toHaveLength(1);
    expect(last(states)).toMatchObject({ status: 'reconnecting', retryAt: null, why: 'background' });
    server.set('A', 2);
    client.notifyForeground();
    await run(50);
    expect(last(seen)).toMatchObject({ status: 'live', balance: { minor: 2n } });
  });

  it('find a socket that died in their sleep within 2 s', async () => {
    const { server, run, watch, client, clock } = rig();
    server.set('A', 1);
    const seen = watch('A');
    await run(100);
    client.notifyBackground();
    server.freeze();
    server.set('A', 2);
    await clock.sleep(3600_000);
    client.notifyForeground();
    await run(2000 + 100); // what does not answer by then is replaced at once
    expect(last(seen)).toMatchObject({ status: 'live', balance: { minor: 2n } });
  });

  it('keep a socket that answers', async () => {
    const { server, run, watch, client, clock } = rig();
    watch('A');
    await run(100);
    client.notifyBackground();
    await clock.sleep(8000);
    client.notifyForeground();
    await run(5000);
    expect(server.sockets).toHaveLength(1);
  });

  it('do nothing offline, and connect at once when there is a network', async () => {
    const { server, run, watch, client, states } = rig();
    server.set('A', 1);
    const seen = watch('A');
    await run(100);
    client.setOnline(false);
    await run(3600_000);
    expect(last(states).status).toBe('offline');
    expect(last(seen).status).toBe('stale');
    expect(server.sockets).toHaveLength(1);
    client.setOnline(true);
    await run(50);
    expect(last(seen).status).toBe('live');
  });

  it('show what was known after a cold start without a network', async () => {
    const first = rig();
    first.server.set('A', 9007199254740993n);
    first.server.set('A', 5, 'USD');
    first.watch('A');
    await first.run(6000);
    const initial = JSON.parse(JSON.stringify(first.client.snapshot())) as ReturnType<typeof first.client.snapshot>;

    const { server, run, watch, client, states } = rig({ initial, defaultCurrency: 'NGN' });
    client.setOnline(false);
    const seen = watch('A');
    await run(1000);
    expect(last(states).status).toBe('offline');
    expect(last(seen)).toMatchObject({ status: 'stale', reason: 'restored', lastKnown: { minor: 9007199254740993n } });
    expect(last(seen).asOf).toBe(initial.balances[0]!.asOf);
    server.set('A', 9007199254740993n);
    server.set('A', 5, 'USD');
    client.setOnline(true);
    await run(50);
    expect(server.last.received[1]).toMatchObject({ since: { A: { NGN: 'e1.1', USD: 'e1.2' } } });
    expect(last(seen)).toMatchObject({ status: 'live' });
  });

  it('take nothing from a storage that holds nonsense', () => {
    const kept = { account: 'A', currency: 'NGN', minor: '1.5', pendingMinor: '0', ts: null, v: 'e1.1', asOf: 1 };
    for (const initial of [null, {}, { format: 2 }, { format: 1, balances: 'x' }, { format: 1, balances: [null, kept, {}] }]) {
      expect(rig({ initial: initial as never }).client.snapshot().balances).toEqual([]);
    }
  });
});
