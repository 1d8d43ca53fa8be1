// SPDX-License-Identifier: Apache-2.0
// One connection as the gateway sees it: what was subscribed, what was sent and is in the digest, and
// what is withheld because the client has seen more than this replica. It follows docs/protocol.md.
import { splitKey, type Command, type ServerFrame, type Since } from '../protocol.js';
import { compareVersions } from '../versions.js';
import { slotOf, type Replica, type Write } from './replica.js';
import type { FakeServer } from './server.js';

const INIT = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;
const utf8 = new TextEncoder();

/** On its own, so that a fault in the client's digest is not repeated here. */
function fnv64(text: string): bigint {
  let hash = INIT;
  for (const byte of utf8.encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * PRIME);
  return hash;
}

export class FakeSession {
  readonly keys = new Set<string>();
  readonly received: Command[] = [];
  authenticated = false;
  private token = '';
  private readonly sent = new Map<string, bigint>();
  private readonly presented = new Map<string, string>();

  constructor(
    readonly server: FakeServer,
    readonly replica: Replica,
    private readonly out: (frame: ServerFrame) => void,
    private readonly hangUp: (code: number, reason: string) => void,
  ) {}

  command(command: Command): void {
    this.received.push(command);
    switch (command.op) {
      case 'hello':
        return this.hello(command.token);
      case 'sub':
        return this.sub(command.id, command.keys, command.since ?? {});
      case 'unsub':
        for (const key of command.keys) this.leave(key);
        return this.out({ ev: 'ok', id: command.id });
      case 'auth':
        return this.auth(command.id, command.token);
      case 'repair':
        this.out({ ev: 'ok', id: command.id });
        for (const write of this.covered()) this.send(write, true);
        for (const write of this.lost()) this.out({ ev: 'state', keys: this.nameOf(write), state: 'removed' });
        return;
      case 'ping':
        return this.out({ ev: 'pong', id: command.id });
    }
  }

  /** A record was read by this replica. */
  news(write: Write): void {
    if (!this.covers(write)) return;
    if (this.withheld(write)) return;
    if (write.minor === null) return this.removed(write);
    this.send(write, false);
  }

  mark(): void {
    if (!this.authenticated || this.presented.size) return;
    let digest = 0n;
    for (const hash of this.sent.values()) digest ^= hash;
    this.out({ ev: 'mark', w: '1', digest: digest.toString(16).padStart(16, '0'), resume: 'fake' });
  }

  label(key: string, state: 'fresh' | 'delayed' | 'stale' | 'unknown' | 'removed', reason?: string, lagMs?: number): void {
    if (state === 'unknown' || state === 'removed') {
      for (const write of this.covered()) if (this.nameOf(write).includes(key)) this.sent.delete(slotOf(write));
    }
    this.out({ ev: 'state', keys: [key], state, ...(reason && { reason }), ...(lagMs !== undefined && { lag_ms: lagMs }) });
  }

  revoke(account: string, reason: string): void {
    const keys = [...this.keys].filter((key) => splitKey(key)[0] === account);
    if (!keys.length) return;
    for (const key of keys) this.leave(key);
    this.out({ ev: 'revoked', keys, reason });
  }

  /** Sends what was sent before once more, as a replica that came late might. */
  repeat(account: string, currency: string): void {
    const write = this.replica.get(account, currency);
    if (write && write.minor !== null && this.sent.has(slotOf(write))) this.send(write, false);
  }

  /** Any frame, for what a gateway should never say. */
  raw(frame: ServerFrame): void {
    this.out(frame);
  }

  cut(code: number): void {
    this.hangUp(code, '');
  }

  tick(): void {
    if (this.authenticated && this.server.expired(this.token)) this.bye(3005, 0, 'token_expired');
  }

  bye(code: number, retryMs = 0, reason = ''): void {
    this.out({ ev: 'bye', code, retry_ms: retryMs, reason });
    this.hangUp(code, reason);
  }

  // ---- commands ----

  private hello(token: string): void {
    const fault = this.server.fault(token);
    if (fault) return this.bye(3500, 0, fault);
    this.token = token;
    this.authenticated = true;
    this.out({ ev: 'hello', conn: 'fake', ping_s: this.server.pingS, epoch: this.replica.epoch(), resume: 'fake' });
  }

  private auth(id: number, token: string): void {
    const fault = this.server.fault(token);
    if (fault) return this.out({ ev: 'err', id, code: fault, msg: fault });
    this.token = token;
    this.out({ ev: 'ok', id });
  }

  private sub(id: number, keys: readonly string[], since: { readonly [key: string]: Since }): void {
    if (keys.length > 1000) return this.out({ ev: 'err', id, code: 'too_large', msg: 'more than 1000 keys' });
    const ok: string[] = [];
    const current: string[] = [];
    const denied: { key: string; code: string }[] = [];
    for (const key of keys) {
      const code = this.server.denial(splitKey(key)[0]);
      if (code) {
        denied.push({ key, code });
        continue;
      }
      this.keys.add(key);
      (this.judge(key, since[key]) ? current : ok).push(key);
    }
    this.out({ ev: 'sub', id, ok, current, denied });
    for (const key of ok) this.answer(key);
    for (const key of current) for (const write of this.valuesOf(key)) this.note(write);
    this.out({ ev: 'live', id });
  }

  /** True: what the client holds is what there is. Versions above ours are kept, and withhold ours. */
  private judge(key: string, since: Since | undefined): boolean {
    if (since === undefined || this.server.careless) return false;
    const [account, named] = splitKey(key);
    const versions = typeof since === 'string' ? [[named ?? this.server.defaultCurrency, since] as const] : Object.entries(since);
    const values = this.valuesOf(key);
    let same = values.length > 0 && values.length === versions.length;
    for (const [currency, v] of versions) {
      const write = this.replica.get(account, currency);
      const order = write && write.minor !== null ? compareVersions(v, this.replica.version(write)) : 'older';
      if (order !== 'same') same = false;
      const ours = compareVersions(v, `${this.replica.epoch()}.${write?.seq ?? 0}`);
      if (ours === 'older') this.presented.set(`${account}|${currency}`, v);
    }
    return same;
  }

  private answer(key: string): void {
    const [account, currency] = splitKey(key);
    const values = this.valuesOf(key);
    for (const write of values) {
      if (!this.withheld(write)) this.send(write, true);
      else this.out({ ev: 'state', keys: [this.nameOf(write)[0]!], state: 'delayed', reason: 'behind_client' });
    }
    const gone = this.replica.slotsOf(account).filter((write) => write.minor === null && (!currency || write.currency === currency));
    for (const write of gone) if (!this.withheld(write)) this.removed(write);
    if (values.length || gone.length) return;
    if (this.presented.has(`${account}|${currency ?? this.server.defaultCurrency}`)) {
      return this.out({ ev: 'state', keys: [key], state: 'delayed', reason: 'behind_client' });
    }
    this.out({ ev: 'state', keys: [key], state: 'unknown', reason: 'no_such_account' });
  }

  private leave(key: string): void {
    this.keys.delete(key);
    for (const [slot] of this.sent) {
      const [account, currency] = slot.split('|') as [string, string];
      if (!this.covers({ account, currency })) this.sent.delete(slot);
    }
    for (const slot of [...this.presented.keys()]) {
      const [account, currency] = slot.split('|') as [string, string];
      if (!this.covers({ account, currency })) this.presented.delete(slot);
    }
  }

  // ---- what is sent ----

  private covers({ account, currency }: { account: string; currency: string }): boolean {
    return this.keys.has(account) || this.keys.has(`${account}/${currency}`);
  }

  private valuesOf(key: string): Write[] {
    const [account, currency] = splitKey(key);
    return this.replica.slotsOf(account).filter((write) => write.minor !== null && (!currency || write.currency === currency));
  }

  private covered(): Write[] {
    const writes = new Map<string, Write>();
    for (const key of this.keys) for (const write of this.valuesOf(key)) writes.set(slotOf(write), write);
    return [...writes.values()].filter((write) => !this.withheld(write));
  }

  private lost(): Write[] {
    return [...this.keys].flatMap((key) => this.replica.slotsOf(splitKey(key)[0])).filter((write) => write.minor === null && this.covers(write));
  }

  /** The client has seen more than that: nothing is sent until this replica has read as far. */
  private withheld(write: Write): boolean {
    const v = this.presented.get(slotOf(write));
    if (v === undefined) return false;
    if (compareVersions(v, this.replica.version(write)) === 'older') return true;
    this.presented.delete(slotOf(write));
    if (write.minor !== null) this.send(write, true);
    this.out({ ev: 'state', keys: this.nameOf(write), state: write.minor === null ? 'removed' : 'fresh' });
    return true;
  }

  private nameOf({ account, currency }: Write): string[] {
    const whole = this.keys.has(account) && currency === this.server.defaultCurrency;
    const named = `${account}/${currency}`;
    return [...(whole ? [account] : []), ...(!whole || this.keys.has(named) ? [named] : [])];
  }

  private note(write: Write): void {
    this.sent.set(slotOf(write), fnv64(`${write.account}|${write.currency}|${this.replica.version(write)}`));
  }

  private send(write: Write, snap: boolean): void {
    this.note(write);
    this.out({ ev: 'upd', u: [this.replica.entry(write, snap)] });
  }

  private removed(write: Write): void {
    this.sent.delete(slotOf(write));
    this.out({ ev: 'state', keys: this.nameOf(write), state: 'removed' });
  }
}
