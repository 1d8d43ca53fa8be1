// SPDX-License-Identifier: Apache-2.0
// Connections that come and go: backoff, tokens, sleep, networks, and what the app is shown meanwhile.
import { describe, expect, it } from 'vitest';
import { last, minorOf, rig } from './rig.js';

const statuses = (states: readonly { status: string }[]): string[] => states.map(({ status }) => status);

describe('a lost connection', () => {
  it('makes everything stale as of the last word, and one subscribe brings it back', async () => {
    const { server, clock, watch, run, states } = rig();
    server.set('A', 1);
    server.set('B', 2);
    const seen = watch('A');
    watch('B');
    await run(6000);
    const heard = clock.now() - 1000;
    server.drop();
    await run();
    expect(last(seen)).toMatchObject({ status: 'stale', reason: 'disconnected', lastKnown: { minor: 1n } });
    expect(last(seen).asOf).toBe(heard);
    server.set('A', 3);
    await run(3000);
    expect(statuses(states)).toEqual(['connecting', 'live', 'reconnecting', 'reconnecting', 'live']);
    expect(minorOf(last(seen))).toBe(3n);
    const subs = server.last.received.filter(({ op }) => op === 'sub');
    expect(subs).toMatchObject([{ keys: ['A', 'B'], since: { A: { NGN: 'e1.1' }, B: { NGN: 'e1.2' } } }]);
    expect(server.last.received[0]).toMatchObject({ op: 'hello', resume: 'fake' });
    expect(server.openMax).toBe(1);
  });

  it('waits longer each time, with full jitter, until it was healthy for a while', async () => {
    const { server, run, watch, states } = rig({ random: () => 0.999 });
    watch('A');
    await run(10);
    server.down = true;
    server.drop();
    await run(200_000);
    const waits = states.flatMap((state) => (state.status === 'reconnecting' && state.retryAt ? [state.attempt] : []));
    expect(waits.slice(0, 7)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    server.down = false;
    await run(30_000);
    expect(last(states).status).toBe('live');
    server.drop();
    await run();
    expect(last(states)).toMatchObject({ status: 'reconnecting', attempt: 1 });
  });

  it('does not start over when it was live for a moment only', async () => {
    const { server, run, watch, states } = rig();
    watch('A');
    await run(100);
    server.drop();
    await run(1000);
    expect(last(states).status).toBe('live');
    server.drop();
    await run();
    expect(last(states)).toMatchObject({ attempt: 2 });
  });

  it('comes back when the gateway said', async () => {
    const { server, clock, run, watch, states, client } = rig();
    watch('A');
    await run(100);
    server.bye(3001, 7000, 'draining');
    await run();
    expect(last(states)).toMatchObject({ status: 'reconnecting', why: 'draining', retryAt: clock.now() + 7000 });
    client.notifyForeground();
    await run(6900);
    expect(server.sockets).toHaveLength(1);
    await run(200);
    expect(last(states).status).toBe('live');
  });

  it('ends for good where the app must act, and starts again when it has', async () => {
    const { server, run, watch, states, client } = rig();
    const seen = watch('A');
    server.set('A', 1);
    await run(100);
    server.bye(3510, 0, 'revoked');
    await run(600_000);
    expect(last(states)).toEqual({ status: 'ended', code: 3510, reason: 'revoked' });
    expect(server.sockets).toHaveLength(1);
    expect(last(seen).status).toBe('stale');
    client.start();
    await run(100);
    expect(last(states).status).toBe('live');
    expect(last(seen).status).toBe('live');
  });

  it('is noticed when nothing says so', async () => {
    const { server, run, watch, states } = rig();
    server.set('A', 1);
    const seen = watch('A');
    await run(100);
    server.freeze();
    server.set('A', 2);
    await run(10_500);
    expect(last(seen)).toMatchObject({ status: 'live', freshness: 'delayed', reason: 'silent' });
    await run(4500);
    expect(last(states)).toMatchObject({ status: 'reconnecting', why: 'silent' });
    await run(2000);
    expect(last(seen)).toMatchObject({ status: 'live', balance: { minor: 2n } });
  });

  it('that says nothing from the beginning is given up', async () => {
    const { server, run, watch, states } = rig();
    server.mute = true;
    watch('A');
    await run(10_100);
    expect(last(states)).toMatchObject({ status: 'reconnecting', why: 'timeout' });
    expect(server.open).toHaveLength(0);
  });

  it('is closed by stop(), and no callback follows but the state', async () => {
    const { server, run, watch, states, client } = rig();
    server.set('A', 1);
    watch('A');
    await run(100);
    client.stop();
    await run(60_000);
    expect(last(states).status).toBe('idle');
    expect(server.open).toHaveLength(0);
    client.subscribe('B');
    await run(1000);
    expect(server.sockets).toHaveLength(1);
  });
});

describe('a replica that is behind', () => {
  it('shows nothing older, and says delayed until it has caught up', async () => {
    let pick = 0;
    const { server, run, watch } = rig({}, { replicas: 2, pick: () => pick });
    server.set('A', 1);
    const seen = watch('A');
    await run(100);
    server.set('A', 2, 'NGN', true);
    server.replicas[0]!.readOn();
    await run(100);
    pick = 1;
    server.drop();
    await run(2000);
    expect(last(seen)).toMatchObject({ status: 'stale', reason: 'behind_client', lastKnown: { minor: 2n } });
    server.set('A', 3, 'NGN', true);
    server.replicas[1]!.readOn();
    await run(100);
    expect(last(seen)).toMatchObject({ status: 'live', freshness: 'fresh', balance: { minor: 3n } });
    const shown = seen.flatMap((now) => minorOf(now) ?? []);
    expect(shown).toEqual([...shown].sort());
  });
});

describe('tokens', () => {
  it('are refreshed in the connection before they end', async () => {
    const { server, run, watch, asked, states } = rig({}, {});
    watch('A');
    await run(3600_000 - 59_000);
    expect(asked).toEqual(['connect', 'refresh']);
    await run(3600_000);
    expect(server.sockets).toHaveLength(1);
    expect(statuses(states)).toEqual(['connecting', 'live']);
    expect(server.last.received.map(({ op }) => op)).toContain('auth');
  });

  it('that ended bring a new connection with a new one', async () => {
    let count = 0;
    const { server, run, watch, states } = rig({ getToken: ({ reason }) => (asked.push(reason), count++ ? server.token() : server.token(1)) });
    const asked: string[] = [];
    watch('A');
    await run(10_000);
    expect(last(states).status).toBe('live');
    expect(asked).toContain('expired');
  });

  it('that were too old to begin with are asked for once more, and the same one ends it', async () => {
    const asked: string[] = [];
    let old = '';
    const { client, server, run, states } = rig({ getToken: ({ reason }) => (asked.push(reason), (old ||= server.token(-5))) });
    client.start();
    await run(60_000);
    expect(asked).toEqual(['connect', 'expired']);
    expect(last(states)).toMatchObject({ status: 'ended', code: 3500, reason: 'token_expired' });
    expect(server.sockets).toHaveLength(1);
  });

  it('that are malformed end it', async () => {
    const { client, run, states } = rig({ getToken: () => 'nonsense' });
    client.start();
    await run(1000);
    expect(last(states)).toMatchObject({ status: 'ended', code: 3500, reason: 'token_malformed' });
  });

  it('are asked for one at a time, and a call that fails is tried again', async () => {
    let under = 0;
    let most = 0;
    let calls = 0;
    const { server, run, client, states, errors, clock } = rig({
      getToken: async () => {
        most = Math.max(most, ++under);
        await new Promise<void>((done) => clock.setTimeout(done, 3000));
        under--;
        if (++calls === 1) throw new Error('the login server is away');
        return server.token();
      },
    });
    client.start();
    for (let i = 0; i < 5; i++) {
      client.setOnline(false);
      client.setOnline(true);
      client.notifyForeground();
      await run(100);
    }
    await run(10_000);
    expect(most).toBe(1);
    expect(last(states).status).toBe('live');
    expect(errors.map(({ code }) => code)).toEqual(['token']);
  });

  it('that never come are given up after half a minute', async () => {
    let calls = 0;
    const { server, run, client, states } = rig({ getToken: () => (calls++ ? server.token() : new Promise<string>(() => {})) });
    client.start();
    await run(40_000);
    expect(last(states).status).toBe('live');
  });

  it('that are null mean signed out', async () => {
    const { run, client, states } = rig({ getToken: () => null });
    client.start();
    await run(100);
    expect(last(states)).toEqual({ status: 'ended', code: 0, reason: 'no_token' });
  });

  it('that grant more bring back what was denied', async () => {
    const { server, run, watch, clock } = rig({ getToken: () => ({ token: server.token(), expiresAt: clock.now() + 100_000 }) });
    server.set('A', 1);
    server.deny('A');
    const seen = watch('A');
    await run(100);
    expect(last(seen).status).toBe('denied');
    server.allow('A');
    await run(90_000);
    expect(last(seen).status).toBe('live');
  });
});
