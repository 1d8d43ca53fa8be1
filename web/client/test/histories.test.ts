// SPDX-License-Identifier: Apache-2.0
// Random histories of networks, phones and replicas. Whatever happens: the shown value never goes back
// inside an epoch, there is one connection at a time, and when the world is well again everything is live
// with the newest value and both sides agree about it. HISTORIES and SEED reproduce or extend a run.
import { expect, it } from 'vitest';
import type { Subscription } from '../src/index.js';
import { rig, type Rig } from './rig.js';

const HISTORIES = Number(process.env.HISTORIES ?? 3000);
const SEED = Number(process.env.SEED ?? 1);
const STEPS = 30;
const ACCOUNTS = ['A', 'B', 'C', 'D'];
const CURRENCIES = ['NGN', 'NGN', 'USD'];
const KEYS = [...ACCOUNTS, 'A/NGN', 'A/USD', 'B/USD'];

type Random = (below: number) => number;

/** mulberry32 */
function randomOf(seed: number): Random {
  let a = seed >>> 0;
  return (below) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

class History {
  readonly done: string[] = [];
  readonly rig: Rig;
  private readonly offs = new Map<string, () => void>();
  private readonly shown = new Map<string, { epoch: string; seq: number }>();
  private tokenSeconds = 3600;
  private replicas: number;
  private readonly knows: boolean; // the gateway's default currency: without it, what is removed has to be asked about

  constructor(private readonly random: Random) {
    this.replicas = 1 + random(3);
    this.knows = random(2) === 1;
    this.rig = rig(
      {
        random: () => random(1000) / 1000,
        getToken: async () => {
          if (random(10) === 0) throw new Error('the login server is away');
          return this.rig.server.token(this.tokenSeconds);
        },
        ...(this.knows && { defaultCurrency: 'NGN' }),
      },
      { replicas: this.replicas, pick: (count) => random(count), latencyMs: random(3) * 15, markMs: 5000 },
    );
    this.rig.server.careless = random(4) === 0;
    this.rig.client.on('balance', (entry) => {
      if (entry.lastKnown) this.look(`${entry.account}/${entry.currency}`, entry.lastKnown.v);
    });
  }

  private look(slot: string, v: string): void {
    const [epoch, seq] = [v.split('.')[0]!, Number(v.split('.')[1])];
    const before = this.shown.get(slot);
    if (before?.epoch === epoch && seq < before.seq) throw new Error(`${slot} went back from ${before.seq} to ${seq}`);
    this.shown.set(slot, { epoch, seq });
  }

  private check(key: string, now: Subscription): void {
    for (const entry of now.entries) if (entry.lastKnown) this.look(`${entry.account}/${entry.currency}`, entry.lastKnown.v);
    if (now.status === 'live' && this.rig.client.state.status !== 'live') throw new Error(`${key} is live without a connection`);
  }

  private toggle(key: string): void {
    const off = this.offs.get(key);
    this.offs.delete(key);
    if (off) off();
    else this.offs.set(key, this.rig.client.subscribe(key, (now) => this.check(key, now)));
  }

  private readonly moves: { [name: string]: () => void | Promise<void> } = {
    write: () => this.write(),
    write_again: () => this.write(),
    remove: () => this.rig.server.remove(this.any(ACCOUNTS), this.any(CURRENCIES), true),
    read_on: () => this.rig.server.replicas[this.random(this.replicas)]!.readOn(1 + this.random(3)),
    read_all: () => this.rig.server.replicas.forEach((replica) => replica.readOn()),
    toggle: () => this.toggle(this.any(KEYS)),
    toggle_two: () => [this.any(KEYS), this.any(KEYS)].forEach((key) => this.toggle(key)),
    repeat: () => this.rig.server.live().forEach((session) => session.repeat(this.any(ACCOUNTS), this.any(CURRENCIES))),
    mark: () => this.rig.server.mark(),
    drop: () => this.rig.server.drop(),
    freeze: () => this.rig.server.freeze(),
    mute: () => void (this.rig.server.mute = !this.rig.server.mute),
    down: () => void (this.rig.server.down = !this.rig.server.down),
    block: () => void (this.rig.server.socketsBlocked = this.random(4) === 0),
    bye: () => this.rig.server.bye(3001, this.random(2) * 3000, 'draining'),
    short_tokens: () => void (this.tokenSeconds = this.random(2) ? 20 : 3600),
    deny: () => this.rig.server.revoke('C'),
    allow: () => this.rig.server.allow('C'),
    offline: () => this.rig.client.setOnline(false),
    online: () => this.rig.client.setOnline(true),
    background: () => this.rig.client.notifyBackground(),
    foreground: () => this.rig.client.notifyForeground(),
    sleep: () => this.rig.clock.sleep(this.random(120_000)),
    label: () => this.rig.server.label('A', this.any(['delayed', 'stale', 'fresh'] as const), 'source_lagging'),
    soon: () => this.rig.run(this.random(40)),
    pass: () => this.rig.run(this.random(3000)),
    long: () => this.rig.run(this.random(40_000)),
  };

  private any<T>(list: readonly T[]): T {
    return list[this.random(list.length)]!;
  }

  private write(): void {
    this.rig.server.set(this.any(ACCOUNTS), this.random(1000), this.any(CURRENCIES), true);
  }

  async run(): Promise<void> {
    const names = Object.keys(this.moves);
    this.toggle('A');
    for (let i = 0; i < STEPS; i++) {
      const name = this.any(names);
      this.done.push(name);
      await this.moves[name]!();
      if (this.random(2)) await this.rig.run(this.random(30));
      if (this.rig.server.live().length > 1) throw new Error('two connections at once');
    }
    await this.recover();
  }

  private async recover(): Promise<void> {
    const { server, client, run } = this.rig;
    Object.assign(server, { down: false, mute: false, socketsBlocked: false });
    this.tokenSeconds = 3600;
    server.allow('C');
    for (const replica of server.replicas) replica.readOn();
    if (!this.offs.size) this.toggle('B');
    client.setOnline(true);
    client.notifyBackground();
    client.notifyForeground();
    await run(60_000);
    server.label('A', 'fresh');
    server.drop(); // grants and labels of before are of no account any more
    await run(60_000);
    const [sessions, said] = [server.sessions.length, server.last.received.length];
    for (const key of ['D', 'B/USD', 'D']) {
      this.toggle(key);
      server.set('D', this.random(1000));
      server.set('B', this.random(1000), 'USD');
      server.mark();
      await run(this.random(50));
    }
    await run(16_000);
    expect(client.state.status).toBe('live');
    expect(server.openMax).toBeLessThanOrEqual(1);
    // on streams each change of keys is another request
    if (client.state.status === 'live' && client.state.transport === 'websocket') expect(server.sessions.length).toBe(sessions);
    if (this.knows) expect(server.last.received.slice(said).map(({ op }) => op)).not.toContain('repair');
    for (const key of this.offs.keys()) this.settled(key, client.get(key));
  }

  private settled(key: string, now: Subscription): void {
    const [account, currency] = key.split('/') as [string, string | undefined];
    for (const each of currency ? [currency] : ['NGN', 'USD']) {
      const newest = this.rig.server.newest(account, each);
      const entry = now.entries.find((one) => one.currency === each);
      if (newest != null) expect(entry).toMatchObject({ status: 'live', freshness: 'fresh', balance: { minor: newest } });
      else if (entry) expect([key, entry.status]).toEqual([key, 'removed']);
    }
  }
}

it(`${HISTORIES} random histories end right, and never go back on the way`, { timeout: 600_000 }, async () => {
  for (let seed = SEED; seed < SEED + HISTORIES; seed++) {
    const history = new History(randomOf(seed));
    try {
      await history.run();
    } catch (cause) {
      throw new Error(`SEED=${seed} HISTORIES=1: ${(cause as Error).message}\n  ${history.done.join(' ')}`, { cause });
    }
    if (history.rig.errors.some(({ code }) => code === 'callback' || code === 'protocol')) {
      throw new Error(`SEED=${seed}: ${history.rig.errors.map(({ message }) => message).join('; ')}`);
    }
  }
});
