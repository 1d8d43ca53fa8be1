// SPDX-License-Identifier: Apache-2.0
// A thousand clients whose gateway is killed with -9 and started again at once, which is the worst that can
// happen to its door: it is open before the first of them knocks. Balances come from another gateway's
// broker, which lives on and moves money meanwhile; so there is one epoch, and "never older" is meant strictly.
//
// Spread: of the delays that the clients chose, 0.5 to 1 s, no tenth of a second has more than 30 % (an even share
// is 20 %), and of the first attempts none has half. The latter alone would prove little: to open a thousand sockets
// takes one busy process about as long as the jitter is wide, so it looks like jitter where there is none.
//
// Admission: a bucket that holds a second's worth. So in no time of t seconds more than RATE * (1 + t) come in,
// as the gateway counts them itself; so that a thousand take at least (1000 - RATE) / RATE seconds.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { createClient, type Client } from '../../src/index.js';
import { account, Crowd, DEMO_ACCOUNTS, first, histogram, sample, Shown, type Sample } from './crowd.js';
import { BIN, Gateway, replicaOf, token, until } from './gateway.js';

const CLIENTS = 1000;
const RATE = 400;
const HEALTHY_MS = 5200; // after that a connection that is lost counts as the first one that is

describe.skipIf(!BIN)('a thousand clients', { timeout: 60_000 }, () => {
  let demo: Gateway;
  let other: Gateway;
  let before: Gateway;
  let gateway: Gateway;
  let crowd: Crowd;
  let witness: Client; // of another replica, which nobody kills
  const newest = new Shown();

  beforeAll(async () => {
    demo = await new Gateway(['--demo']).start();
    [other, before] = await Promise.all([replicaOf(demo.ready.kafka).start(), replicaOf(demo.ready.kafka).start()]);
    gateway = replicaOf(demo.ready.kafka, { BGW_HANDSHAKES_PER_S: String(RATE), BGW_ADMIN_LISTEN: before.ready.admin });
    witness = createClient({ url: other.url, getToken: () => token(), webSocket: WebSocket as never, defaultCurrency: 'NGN' });
    witness.on('balance', (entry) => newest.take(entry));
    for (let i = 0; i < DEMO_ACCOUNTS; i++) witness.subscribe(account(i));
    crowd = new Crowd(before.url, CLIENTS);
    await crowd.allFresh();
    await new Promise((next) => setTimeout(next, HEALTHY_MS)); // so that each starts with the shortest delay
  }, 60_000);
  afterAll(async () => {
    crowd?.stop();
    witness?.stop();
    await gateway?.end();
    await other?.end();
    await before?.end();
    await demo?.end();
  });

  /** What the new gateway counts, from the moment that it answers until all are fresh. */
  async function whileTheyCome(): Promise<Sample[]> {
    const samples: Sample[] = [];
    await until('all are fresh', async () => {
      const taken = await sample(before.ready.admin).catch(() => null);
      if (taken) samples.push(taken);
      return crowd.fresh === CLIENTS;
    });
    return [...samples, await sample(before.ready.admin)];
  }

  it('come back spread by jitter, no faster than they are admitted, all of them, and none with an older value', async () => {
    const held = crowd.shown.map(({ versions }) => new Map(versions));
    const killedAt = performance.now();
    await before.kill();
    const ready = gateway.start(before.ready.listen);
    const samples = await whileTheyCome();
    await ready;

    const waits = histogram(first(crowd.losses, killedAt).map(({ wait }) => wait), 100);
    const attempts = first(crowd.attempts, killedAt).map(({ at }) => at - killedAt);
    const bars = histogram(attempts, 100);
    const all = crowd.attempts.filter(({ at }) => at >= killedAt).length;
    const { refused, admitted } = samples.at(-1)!;
    const fresh = Math.max(...crowd.members.map(({ freshAt }) => freshAt)) - killedAt;
    console.log(`each 100 ms: delays ${waits.join(' ')}; first attempts ${bars.join(' ')}`);
    console.log(`${all} attempts, ${refused} refused; all fresh after ${Math.round(fresh)} ms`);
    expect(attempts).toHaveLength(CLIENTS);
    expect(Math.max(...bars)).toBeLessThan(CLIENTS / 2);
    expect(Math.max(...waits)).toBeLessThan(CLIENTS * 0.3);

    const tooMany = samples.flatMap((a, i) => samples.slice(i + 1).filter((b) => b.admitted - a.admitted > RATE * (1 + (b.after - a.before) / 1000)));
    expect(tooMany).toEqual([]);
    expect(samples.filter(({ admitted: so }) => so > 0 && so < CLIENTS).length).toBeGreaterThan(3); // it was looked at while they came
    expect(admitted).toBe(CLIENTS);
    expect(refused).toBeLessThan(CLIENTS / 10); // who comes too early waits at the door rather than being sent away

    const now = new Shown();
    for (const [slot, v] of newest.versions) now.versions.set(slot, v);
    const current = (i: number): boolean => crowd.shown[i]!.reaches(now, crowd.members[i]!.keys);
    await until('each has what the other replica had', () => crowd.members.every((_, i) => current(i)), 5000);
    expect(crowd.members.map(({ client }) => client.state).filter((state) => state.status !== 'live' || state.transport !== 'websocket')).toEqual([]);
    expect((await sample(gateway.ready.admin)).connections).toBe(CLIENTS);
    expect(crowd.back).toEqual([]);
    const moved = crowd.shown.filter(({ versions }, i) => [...versions].some(([slot, v]) => held[i]!.get(slot) !== v));
    expect(moved.length).toBeGreaterThan(CLIENTS / 10); // the busy accounts alone are watched by all
  });
});
