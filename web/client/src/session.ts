// SPDX-License-Identifier: Apache-2.0
// One connection after its hello: which keys it was asked for, what was not answered yet, and whether
// what it has shown is what the gateway believes that it showed. Ends with the connection.
import { chunkSubs, splitKey, type Command, type ServerFrame } from './protocol.js';
import type { Store } from './store.js';

export interface SessionHost {
  readonly store: Store;
  /** Every key that anybody subscribes to now. */
  readonly wanted: ReadonlyMap<string, unknown>;
  send(command: Command): void;
  error(code: string, message: string): void;
  /** What this connection says can no longer be trusted: a new one is needed. */
  distrust(why: string): void;
  tokenAccepted(): void;
  tokenRefused(code: string, message: string): void;
}

type Op = 'sub' | 'unsub' | 'repair' | 'auth' | 'ping';

const UNANSWERED_MAX = 4; // subscribes of a thousand keys each: the gateway need not hold more of them
const REPAIRS_MAX = 2;

export class Session {
  readonly #asked = new Map<string, 'asked' | 'ok' | 'denied'>();
  readonly #commands = new Map<number, { op: Op; keys: readonly string[] }>();
  #lastId = 0;
  #repairs = 0;
  resume: string | undefined;

  readonly #host: SessionHost;

  constructor(host: SessionHost) {
    this.#host = host;
  }

  /** Asks for what is wanted and was not asked for, and leaves what is wanted no more: two commands, if they fit. */
  flush(): void {
    const { wanted, store } = this.#host;
    const left = [...this.#asked.keys()].filter((key) => !wanted.has(key));
    const served = left.filter((key) => this.#asked.get(key) !== 'denied');
    for (const key of left) this.#asked.delete(key);
    if (left.length) store.release(wanted);
    for (const { keys } of chunkSubs(served, () => undefined)) this.#command('unsub', keys);

    const missing = [...wanted.keys()].filter((key) => !this.#asked.has(key));
    for (const { keys, since } of chunkSubs(missing, store.since)) {
      if (this.#waitsFor('sub') >= UNANSWERED_MAX) return; // the next answer comes here again
      for (const key of keys) this.#asked.set(key, 'asked');
      this.#command('sub', keys, Object.keys(since).length ? { since } : {});
    }
  }

  ping(): void {
    this.#command('ping');
  }

  auth(token: string): void {
    this.#command('auth', [], { token });
  }

  frame(frame: ServerFrame, now: number): void {
    if ('resume' in frame) this.resume = frame.resume;
    switch (frame.ev) {
      case 'sub':
        this.#subscribed(frame, now);
        break;
      case 'upd':
        this.#host.store.upd(frame.u.filter(({ k, d }) => this.#covers(k, `${k}/${d.currency}`)), now);
        break;
      case 'state':
        this.#labelled(frame, now);
        break;
      case 'mark':
        this.#compare(frame.digest);
        break;
      case 'revoked':
        for (const key of frame.keys) this.#deny(key, frame.reason);
        break;
      case 'ok':
        this.#answered(frame.id);
        break;
      case 'err':
        this.#refused(frame);
    }
  }

  // ---- answers ----

  #subscribed(frame: Extract<ServerFrame, { ev: 'sub' }>, now: number): void {
    this.#commands.delete(frame.id ?? -1);
    // what was left in the meantime is answered still, and is none of ours any more
    const ours = (key: string): boolean => this.#asked.has(key);
    const ok = frame.ok.filter(ours);
    const current = frame.current.filter(ours);
    const denied = frame.denied.filter(({ key }) => ours(key));
    for (const key of [...ok, ...current]) this.#asked.set(key, 'ok');
    for (const { key } of denied) this.#asked.set(key, 'denied');
    if (!this.#host.store.sub({ ...frame, ok, current, denied }, now)) this.#repair();
    this.flush();
  }

  #labelled(frame: Extract<ServerFrame, { ev: 'state' }>, now: number): void {
    const keys = frame.keys.filter((key) => this.#covers(splitKey(key)[0], key));
    if (!this.#host.store.state({ ...frame, keys }, (key) => this.#asked.has(key), now)) this.#repair();
  }

  /** What still comes of keys that were left is nobody's any more. */
  #covers(account: string, key: string): boolean {
    return this.#asked.has(account) || this.#asked.has(key);
  }

  #answered(id: number): void {
    const command = this.#commands.get(id);
    this.#commands.delete(id);
    if (command?.op !== 'auth') return;
    // new grants act for later subscriptions: what was denied may not be any more
    for (const [key, how] of this.#asked) if (how === 'denied') this.#asked.delete(key);
    this.#host.tokenAccepted();
    this.flush();
  }

  #refused({ id, code, msg }: Extract<ServerFrame, { ev: 'err' }>): void {
    const command = this.#commands.get(id ?? -1);
    this.#commands.delete(id ?? -1);
    const text = msg ?? code;
    if (command?.op === 'auth') this.#host.tokenRefused(code, text);
    else this.#host.error(code, text);
    if (command?.op === 'sub') for (const key of command.keys) this.#deny(key, code);
    if (command) this.flush();
  }

  #deny(key: string, code: string): void {
    if (!this.#asked.has(key)) return;
    this.#asked.set(key, 'denied');
    this.#host.store.deny(key, code);
  }

  // ---- the digest ----

  /**
   * A mark speaks of the moment in which it was written. While a command is on its way, the gateway may
   * have written it before that arrived: such a mark says nothing, and the next one will. A subscribe
   * counts too: an update of a key that was left and taken again may still be of the time before.
   */
  #compare(digest: string | undefined): void {
    const { store } = this.#host;
    if (this.#commands.size || store.settle() || digest === undefined) return;
    if (store.digest() === digest) {
      this.#repairs = 0;
    } else if (++this.#repairs > REPAIRS_MAX) {
      this.#host.distrust('digest');
    } else {
      this.#repair();
    }
  }

  #repair(): void {
    if (!this.#waitsFor('repair')) this.#command('repair');
  }

  // ---- commands ----

  #waitsFor(op: Op): number {
    let count = 0;
    for (const command of this.#commands.values()) if (command.op === op) count++;
    return count;
  }

  #command(op: Op, keys: readonly string[] = [], more: object = {}): void {
    const id = ++this.#lastId;
    if (op !== 'ping') this.#commands.set(id, { op, keys });
    this.#host.send({ op, id, ...(keys.length && { keys }), ...more } as Command);
  }
}
