// SPDX-License-Identifier: Apache-2.0
// A gateway in the test's own process: no network, no time of its own. It has one or more replicas that
// read one log, and does to its connections what networks do, when the test says so.
import { openStream } from '../sse.js';
import { keepStreams } from '../transport.js';
import type { WebSocketClass } from '../types.js';
import type { FakeClock } from './clock.js';
import { Replica, type Write } from './replica.js';
import type { FakeSession } from './session.js';
import { fakeSocketClass, type FakeSocket } from './socket.js';
import { fakeFetch } from './stream.js';

export interface FakeServerOptions {
  readonly clock: FakeClock;
  readonly replicas?: number;
  readonly defaultCurrency?: string;
  readonly pingS?: number;
  readonly markMs?: number;
  /** How long a frame travels, each way. */
  readonly latencyMs?: number;
  /** Which replica takes a new connection. */
  readonly pick?: (replicas: number) => number;
}

export class FakeServer {
  readonly clock: FakeClock;
  readonly defaultCurrency: string;
  readonly pingS: number;
  readonly latencyMs: number;
  readonly replicas: Replica[];
  /** For `createClient({ webSocket })`. */
  readonly webSocket: WebSocketClass;
  /** For `createClient({ fetch })`. */
  readonly fetch: typeof fetch;
  /** Every socket that was ever made, in order. */
  readonly sockets: FakeSocket[] = [];
  /** Every session that was ever opened, streams too. */
  readonly sessions: FakeSession[] = [];
  /** WebSocket upgrades fail, as behind a proxy that knows none. */
  socketsBlocked = false;
  /** Nothing can be reached. */
  down = false;
  /** Presented versions are ignored, so that replicas that lag show what is older: no gateway does, but a client must stand it. */
  careless = false;
  /** New connections open, and nothing is heard of them. */
  mute = false;
  /** How many sockets and streams were open at once, at most. */
  openMax = 0;

  private readonly log: Write[] = [];
  private readonly denied = new Map<string, string>();
  private readonly ends = new Map<string, number>(); // of the tokens that were made here
  private epochText = 'e1';
  private lastSeq = 0;
  private lastToken = 0;

  constructor(private readonly options: FakeServerOptions) {
    this.clock = options.clock;
    this.defaultCurrency = options.defaultCurrency ?? 'NGN';
    this.pingS = options.pingS ?? 20;
    this.latencyMs = options.latencyMs ?? 0;
    this.replicas = Array.from({ length: options.replicas ?? 1 }, () => new Replica(this.log, () => this.epochText));
    this.webSocket = fakeSocketClass(this);
    this.fetch = fakeFetch(this);
    keepStreams(openStream);
    this.heartbeat();
  }

  // ---- balances ----

  /** A record of the stream. Every replica reads it at once, unless `replicas` are held back: then `readOn`. */
  set(account: string, minor: bigint | number, currency = this.defaultCurrency, held = false): void {
    this.write(account, currency, BigInt(minor), held);
  }

  remove(account: string, currency = this.defaultCurrency, held = false): void {
    this.write(account, currency, null, held);
  }

  newest(account: string, currency = this.defaultCurrency): bigint | null | undefined {
    for (let i = this.log.length - 1; i >= 0; i--) {
      const write = this.log[i]!;
      if (write.account === account && write.currency === currency) return write.minor;
    }
    return undefined;
  }

  version(account: string, currency = this.defaultCurrency): string | undefined {
    const write = this.replicas[0]!.get(account, currency);
    return write && this.replicas[0]!.version(write);
  }

  /** The topic was made anew: versions have no order with those of before. */
  newEpoch(): void {
    this.epochText = `e${Number(this.epochText.slice(1)) + 1}`;
  }

  // ---- access ----

  deny(account: string, code = 'no_grant'): void {
    this.denied.set(account, code);
  }

  allow(account: string): void {
    this.denied.delete(account);
  }

  revoke(account: string, reason = 'grant_removed'): void {
    this.deny(account, reason === 'revoked' ? 'revoked' : 'no_grant');
    for (const session of this.live()) session.revoke(account, reason);
  }

  denial(account: string): string | undefined {
    return this.denied.get(account);
  }

  /** A token that is good for so long; each one is another, and no others are taken. */
  token(seconds = 3600): string {
    const now = Math.floor(this.clock.now() / 1000);
    const body = JSON.stringify({ sub: 'fake', iat: now, exp: now + seconds, n: ++this.lastToken });
    const token = `e30.${btoa(body).replace(/=+$/, '')}.`;
    this.ends.set(token, (now + seconds) * 1000);
    return token;
  }

  expired(token: string): boolean {
    return this.fault(token) === 'token_expired';
  }

  fault(token: string): string | null {
    const ends = this.ends.get(token);
    if (ends === undefined) return 'token_malformed';
    return ends <= this.clock.now() ? 'token_expired' : null;
  }

  // ---- what networks and operators do ----

  /** Every connection ends without a word. */
  drop(code = 1006): void {
    for (const socket of [...this.sockets]) socket.end(code, '');
    for (const session of this.live()) session.cut(code);
  }

  /** Every connection stays, and nothing passes any more. */
  freeze(): void {
    for (const socket of this.sockets) socket.frozen = true;
  }

  bye(code: number, retryMs = 0, reason = ''): void {
    for (const session of this.live()) session.bye(code, retryMs, reason);
  }

  /** Each connection is told how a key can be trusted; as the gateway writes it: `A`, or `A/USD`. */
  label(key: string, state: 'fresh' | 'delayed' | 'stale' | 'unknown' | 'removed', reason?: string, lagMs?: number): void {
    for (const session of this.live()) session.label(key, state, reason, lagMs);
  }

  mark(): void {
    for (const session of this.live()) session.mark();
  }

  /** The sockets that are open or being opened. */
  get open(): FakeSocket[] {
    return this.sockets.filter((socket) => socket.readyState <= 1);
  }

  /** The last session: `received` has what the client said in it. */
  get last(): FakeSession {
    return this.sessions[this.sessions.length - 1]!;
  }

  pick(): Replica {
    const count = this.replicas.length;
    return this.replicas[this.options.pick?.(count) ?? 0]!;
  }

  live(): FakeSession[] {
    return this.replicas.flatMap((replica) => [...replica.sessions]);
  }

  private write(account: string, currency: string, minor: bigint | null, held: boolean): void {
    this.log.push({ account, currency, seq: ++this.lastSeq, minor, pendingMinor: 0n, ts: this.clock.now() });
    if (!held) for (const replica of this.replicas) replica.readOn();
  }

  private heartbeat(): void {
    const everyMs = this.options.markMs ?? 5000;
    this.clock.setTimeout(() => {
      for (const session of this.live()) session.tick();
      this.mark();
      this.heartbeat();
    }, everyMs);
  }
}

export function createFakeServer(options: FakeServerOptions): FakeServer {
  return new FakeServer(options);
}
