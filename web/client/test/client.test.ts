// SPDX-License-Identifier: Apache-2.0
// Subscriptions and values on a connection that works.
import { describe, expect, it } from 'vitest';
import { last, minorOf, rig } from './rig.js';

describe('a subscription', () => {
  it('is pending, then live with its value', async () => {
    const { server, watch, run } = rig();
    server.set('A', 125000);
    const seen = watch('A');
    await run();
    await run(10);
    expect(seen.map((now) => now.status)).toEqual(['pending', 'live']);
    expect(last(seen)).toMatchObject({ freshness: 'fresh', balance: { account: 'A', currency: 'NGN', minor: 125000n } });
  });

  it('keeps amounts that a double would round', async () => {
    const { server, watch, run } = rig();
    server.set('A', 9007199254740993n);
    const seen = watch('A');
    await run(10);
    expect(minorOf(last(seen))).toBe(9007199254740993n);
  });

  it('is asked for once however many subscribe, and left with the last of them', async () => {
    const { server, client, run } = rig();
    server.set('A', 1);
    const offs = [client.subscribe('A', () => {}), client.subscribe('A', () => {})];
    await run(10);
    expect(server.last.received.filter(({ op }) => op === 'sub')).toHaveLength(1);
    offs[0]!();
    offs[0]!();
    await run(10);
    expect(server.last.keys).toEqual(new Set(['A']));
    offs[1]!();
    await run(10);
    expect(server.last.keys.size).toBe(0);
  });

  it('that comes and goes in one turn asks for nothing', async () => {
    const { server, client, run } = rig();
    client.subscribe('B');
    await run(10);
    client.subscribe('A')();
    await run(10);
    expect(server.last.received.map(({ op }) => op)).toEqual(['hello', 'sub']);
  });

  it('is never told after it was left', async () => {
    const { server, client, run } = rig();
    server.set('A', 1);
    let calls = 0;
    const off = client.subscribe('A', () => calls++);
    off();
    await run(10);
    expect(calls).toBe(0);
  });

  it('is told only when something changed', async () => {
    const { server, watch, run, entries } = rig();
    server.set('A', 1);
    const seen = watch('A');
    await run(30_000);
    server.last.repeat('A', 'NGN');
    server.mark();
    await run(10);
    expect(seen).toHaveLength(2);
    expect(entries).toHaveLength(1);
    server.set('A', 2);
    await run(10);
    expect(seen.map(minorOf)).toEqual([undefined, 1n, 2n]);
  });

  it('refuses what is no key, and says what is one', () => {
    const { client } = rig();
    expect(() => client.subscribe('no spaces')).toThrow(/acct-1\/USD/);
  });

  it('has every currency of a whole key, and one of a named one', async () => {
    const { server, watch, client, run } = rig({ defaultCurrency: 'NGN' });
    server.set('A', 5, 'USD');
    server.set('A', 7);
    watch('A');
    watch('A/USD');
    await run(10);
    expect(client.get('A').entries.map(({ currency }) => currency)).toEqual(['USD', 'NGN']);
    expect(minorOf(client.get('A'))).toBe(7n);
    expect(minorOf(client.get('A/USD'))).toBe(5n);
    expect(client.get('A')).toBe(client.get('A'));
  });

  it('of an account that nobody knows is pending with the reason, never 0', async () => {
    const { watch, run } = rig();
    const seen = watch('nobody');
    await run(10);
    expect(last(seen)).toMatchObject({ status: 'pending', reason: 'no_such_account', lastKnown: null });
  });

  it('is denied without touching the others', async () => {
    const { server, watch, run } = rig();
    server.set('A', 1);
    server.set('B', 2);
    server.deny('A');
    const [a, b] = [watch('A'), watch('B')];
    await run(10);
    expect(last(a)).toMatchObject({ status: 'denied', reason: 'no_grant', lastKnown: null });
    expect(last(b).status).toBe('live');
  });

  it('forgets what was taken back', async () => {
    const { server, client, watch, run, entries } = rig();
    server.set('A', 1);
    const seen = watch('A');
    await run(10);
    server.revoke('A', 'revoked');
    await run(10);
    expect(last(seen)).toMatchObject({ status: 'denied', reason: 'revoked', entries: [] });
    expect(last(entries)).toMatchObject({ status: 'denied' });
    expect(client.snapshot().balances).toEqual([]);
  });

  it('says removed, and is live again with the next value', async () => {
    const { server, watch, run } = rig({ defaultCurrency: 'NGN' });
    server.set('A', 1);
    const seen = watch('A');
    await run(10);
    server.remove('A');
    await run(10);
    expect(last(seen)).toMatchObject({ status: 'removed', lastKnown: { minor: 1n } });
    server.set('A', 3);
    await run(10);
    expect(last(seen)).toMatchObject({ status: 'live', balance: { minor: 3n } });
  });

  it('drops what is older and takes another epoch as new', async () => {
    const { server, watch, run } = rig();
    server.set('A', 1);
    server.set('A', 2);
    const seen = watch('A');
    await run(10);
    const d = { currency: 'NGN', minor: '99' };
    server.last.raw({ ev: 'upd', u: [{ k: 'A', v: 'e1.1', d }] });
    await run(10);
    expect(minorOf(last(seen))).toBe(2n);
    server.last.raw({ ev: 'upd', u: [{ k: 'A', v: 'e2.1', d }] });
    await run(10);
    expect(minorOf(last(seen))).toBe(99n);
  });

  it('carries on when a listener throws, and says so', async () => {
    const { server, client, watch, run, errors } = rig();
    server.set('A', 1);
    client.subscribe('A', () => {
      throw new Error('mine');
    });
    const seen = watch('A');
    await run(10);
    expect(last(seen).status).toBe('live');
    expect(errors.map(({ code }) => code)).toContain('callback');
  });

  it('survives frames that are none', async () => {
    const { server, watch, run, errors } = rig();
    server.set('A', 1);
    const seen = watch('A');
    await run(10);
    server.last.raw({ ev: 'upd', u: [{ k: 'A', v: 'e1.9', d: { currency: 'NGN', minor: '1.5' } }] });
    server.last.raw({ ev: 'news' } as never);
    server.set('A', 2);
    await run(10);
    expect(minorOf(last(seen))).toBe(2n);
    expect(errors.map(({ code }) => code)).toEqual(['protocol']);
  });
});

describe('freshness', () => {
  it('is what the gateway says, until it says otherwise', async () => {
    const { server, watch, run } = rig();
    server.set('A', 1);
    const seen = watch('A');
    await run(10);
    server.label('A', 'delayed', 'source_lagging', 4000);
    await run(10);
    expect(last(seen)).toMatchObject({ status: 'live', freshness: 'delayed', reason: 'source_lagging' });
    server.set('A', 2);
    await run(10);
    expect(last(seen)).toMatchObject({ status: 'live', freshness: 'delayed', balance: { minor: 2n } });
    server.label('A', 'stale', 'source_lagging', 31_000);
    await run(10);
    expect(last(seen)).toMatchObject({ status: 'stale', lastKnown: { minor: 2n } });
    server.label('A', 'fresh');
    await run(10);
    expect(last(seen)).toMatchObject({ status: 'live', freshness: 'fresh' });
  });

  it('asks again when it is not clear which currency was removed', async () => {
    const { server, client, watch, run } = rig();
    server.set('A', 5, 'USD');
    server.set('A', 7);
    watch('A');
    await run(10);
    server.remove('A', 'NGN');
    await run(10);
    expect(server.last.received.map(({ op }) => op)).toContain('repair');
    await run(5000);
    expect(client.get('A').entries.map(({ currency, status }) => [currency, status])).toEqual([['USD', 'live'], ['NGN', 'removed']]);
  });
});

describe('the default currency', () => {
  it('that was removed before we came does not take another currency with it', async () => {
    const { server, client, watch, run } = rig();
    server.set('A', 7);
    server.set('A', 5, 'USD');
    server.remove('A', 'NGN');
    watch('A');
    await run(16_000);
    expect(client.get('A')).toMatchObject({ status: 'live', balance: { currency: 'USD', minor: 5n } });
    expect(server.last.received.filter(({ op }) => op === 'repair')).toHaveLength(1);
    server.label('A/USD', 'delayed', 'source_lagging');
    await run(10);
    expect(client.get('A')).toMatchObject({ status: 'live', freshness: 'delayed' });
  });
});

describe('the digest', () => {
  it('agrees through updates, removals, unsubscribes and several names of one slot', async () => {
    const { server, client, watch, run } = rig({ defaultCurrency: 'NGN' }, { latencyMs: 40 });
    for (const account of ['A', 'B', 'C']) server.set(account, 1);
    watch('A');
    watch('A/NGN');
    const off = client.subscribe('B');
    watch('C');
    await run(500);
    server.set('A', 2);
    off();
    server.set('B', 2);
    server.mark();
    await run(60);
    server.remove('C');
    server.mark();
    await run(20_000);
    expect(server.sessions).toHaveLength(1);
    expect(server.last.received.some(({ op }) => op === 'repair')).toBe(false);
    expect(client.get('B').status).toBe('stale');
  });

  it('that differs brings a repair, and the value back', async () => {
    const { server, watch, run } = rig();
    server.set('A', 1);
    const seen = watch('A');
    await run(10);
    const [session] = server.live();
    server.replicas[0]!.sessions.clear(); // an update is lost on its way
    server.set('A', 2);
    server.replicas[0]!.sessions.add(session!);
    session!.raw({ ev: 'mark', digest: '0000000000000001' });
    await run(10);
    expect(server.last.received.filter(({ op }) => op === 'repair')).toHaveLength(1);
    expect(minorOf(last(seen))).toBe(2n);
  });

  it('that never agrees ends the connection, not the client', async () => {
    const { server, watch, run, states } = rig();
    watch('A');
    await run(10);
    for (let i = 0; i < 3; i++) {
      server.last.raw({ ev: 'mark', digest: '0000000000000001' });
      await run(10);
    }
    expect(last(states)).toMatchObject({ status: 'reconnecting', why: 'digest' });
    await run(5000);
    expect(last(states).status).toBe('live');
  });
});

describe('large subscribes', () => {
  it('are cut at a thousand keys, and at what a message may hold', async () => {
    const { server, watch, run, client } = rig();
    for (let i = 0; i < 2500; i++) server.set(`msisdn::23481${String(i).padStart(8, '0')}-${'x'.repeat(30)}`, i);
    for (let i = 0; i < 2500; i++) watch(`msisdn::23481${String(i).padStart(8, '0')}-${'x'.repeat(30)}`);
    await run(50);
    server.drop();
    await run(5000);
    for (const session of server.sessions) {
      const subs = session.received.filter((command) => command.op === 'sub');
      for (const sub of subs) {
        expect(sub.keys.length).toBeLessThanOrEqual(1000);
        expect(JSON.stringify(sub).length).toBeLessThan(65536);
      }
    }
    expect(client.get(`msisdn::2348100002499-${'x'.repeat(30)}`).status).toBe('live');
    expect(server.last.received.filter(({ op }) => op === 'unsub')).toEqual([]);
  });
});
