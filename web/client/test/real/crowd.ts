// SPDX-License-Identifier: Apache-2.0
// Many clients in one process against one gateway, and what each of them did: when it tried, when every
// balance that it wants was fresh again, and whether one ever went back. The test of a restart stands on
// it, and the figures (bench/figures.mjs) too.
import WebSocket from 'ws';
import { createClient, type Client, type Entry, type Subscription } from '../../src/index.js';
import { token, until } from './gateway.js';

export const DEMO_ACCOUNTS = 300; // so that a thousand clients share them by three or four
export const SHOPS = 10; // where the money is: each is watched by a tenth of the crowd

export const account = (i: number): string => `msisdn::${2348100000001 + i}`;
/** One account of the many, and one of the busy ones. */
const keysOf = (i: number): string[] => [...new Set([account(i % DEMO_ACCOUNTS), account(i % SHOPS)])];
export const isFresh = (now: Subscription): boolean => now.status === 'live' && now.freshness === 'fresh';

export interface Member {
  readonly client: Client;
  readonly keys: readonly string[];
  /** Those that are not fresh. */
  readonly waits: Set<string>;
  /** When each of them was fresh, the last time that it became so. */
  freshAt: number;
}

export interface Attempt {
  readonly member: number;
  readonly at: number;
}

/** A connection was lost, and the next one is to be made in `wait` milliseconds. */
export interface Loss extends Attempt {
  readonly wait: number;
}

/** Is `next` at least as new? Not with the client's own comparison, which is on trial here. Another epoch is not: there is one broker. */
function reached(held: string, next: string): boolean {
  const [before, after] = [held.split('.'), next.split('.')];
  const [seq, read] = [1, 2].map((i) => BigInt(after[i] ?? 0) - BigInt(before[i] ?? 0)) as [bigint, bigint];
  return before[0] === after[0] && (seq > 0n || (seq === 0n && read >= 0n));
}

/** What is shown of each balance, and every time that it was something else than newer. */
export class Shown {
  readonly versions = new Map<string, string>();
  readonly back: string[] = [];

  take({ account: of, currency, lastKnown }: Entry): void {
    if (!lastKnown) return;
    const slot = `${of}/${currency}`;
    const before = this.versions.get(slot) ?? lastKnown.v;
    if (!reached(before, lastKnown.v)) this.back.push(`${slot}: ${before}, then ${lastKnown.v}`);
    this.versions.set(slot, lastKnown.v);
  }

  /** Is every balance that `keys` name at least as new here as in `other`? */
  reaches(other: Shown, keys: readonly string[]): boolean {
    return [...other.versions].every(([slot, v]) => {
      if (!keys.includes(slot.split('/')[0]!)) return true;
      const here = this.versions.get(slot);
      return here !== undefined && reached(v, here);
    });
  }
}

export class Crowd {
  readonly members: Member[] = [];
  readonly shown: Shown[] = [];
  readonly attempts: Attempt[] = [];
  readonly losses: Loss[] = [];

  constructor(url: string, count: number) {
    for (let i = 0; i < count; i++) this.#add(url, i);
  }

  #add(url: string, i: number): void {
    const { attempts } = this;
    class Counted extends WebSocket {
      constructor(address: string, protocols: string[]) {
        attempts.push({ member: i, at: performance.now() });
        super(address, protocols, { perMessageDeflate: false });
      }
    }
    const client = createClient({ url, getToken: () => token({ sub: `web-${i}` }), webSocket: Counted as never, defaultCurrency: 'NGN' });
    const keys = keysOf(i);
    const member: Member = { client, keys, waits: new Set(keys), freshAt: 0 };
    const shown = new Shown();
    client.on('balance', (entry) => shown.take(entry));
    client.on('state', (state) => {
      if (state.status !== 'reconnecting' || state.retryAt === null) return;
      this.losses.push({ member: i, at: performance.now(), wait: state.retryAt - Date.now() });
    });
    for (const key of keys) {
      client.subscribe(key, (now) => {
        if (!isFresh(now)) member.waits.add(key);
        else if (member.waits.delete(key) && !member.waits.size) member.freshAt = performance.now();
      });
    }
    this.members.push(member);
    this.shown.push(shown);
  }

  get fresh(): number {
    return this.members.filter(({ waits, client }) => !waits.size && client.state.status === 'live').length;
  }

  get back(): string[] {
    return this.shown.flatMap(({ back }) => back);
  }

  async allFresh(ms = 20_000): Promise<void> {
    await until(`all of ${this.members.length} are fresh`, () => this.fresh === this.members.length, ms).catch((error: Error) => {
      throw new Error(`${error.message}; ${this.fresh} are`);
    });
  }

  stop(): void {
    for (const { client } of this.members) client.stop();
  }
}

/** What happened first to each member since `from`. */
export function first<T extends Attempt>(events: readonly T[], from: number): T[] {
  const found = new Map<number, T>();
  for (const event of events) if (event.at >= from && !found.has(event.member)) found.set(event.member, event);
  return [...found.values()];
}

/** How many of `times` lie in each window of `width`, the first at 0. */
export function histogram(times: readonly number[], width: number): number[] {
  const bars: number[] = [];
  for (const time of times) {
    const bar = Math.floor(time / width);
    while (bars.length <= bar) bars.push(0);
    bars[bar]!++;
  }
  return bars;
}

export interface Sample {
  /** It was counted somewhere between these. */
  readonly before: number;
  readonly after: number;
  readonly admitted: number;
  readonly refused: number;
  readonly connections: number;
}

/** What the gateway has counted since it was started. */
export async function sample(admin: string): Promise<Sample> {
  const before = performance.now();
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  const sum = (lines: RegExp): number => [...text.matchAll(lines)].reduce((all, [, number]) => all + Number(number), 0);
  return {
    before,
    after: performance.now(),
    admitted: sum(/^bgw_handshakes_total\{result="ok"\} (\d+)/gm),
    refused: sum(/^bgw_(?:handshakes_total\{result="(?!ok")\w+"\}|connections_refused_total\{.*\}) (\d+)/gm),
    connections: sum(/^bgw_connections (\d+)/gm),
  };
}
