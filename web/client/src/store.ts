// SPDX-License-Identifier: Apache-2.0
// What is known of every balance, and what a key shows of it. Time comes in as an argument, changes go
// out through takeChanges(). Invariants: inside one epoch the value of a slot never goes back; a value
// that this connection did not say or confirm is never `live`; nothing of a denied account is kept.
import { Book } from './book.js';
import { digestOf, fnv64, slotText } from './digest.js';
import { splitKey, type ServerFrame, type Since, type WireEntry } from './protocol.js';
import { balanceOf, fromSnapshot, newSlot, sameState, stateOf, toSnapshot, unprove, type Link, type Slot } from './slots.js';
import { blankKey, buildView, sameView, type Change, type Key } from './views.js';
import type { Entry, Snapshot, Subscription } from './types.js';
import { compareVersions } from './versions.js';

type Frame<E extends ServerFrame['ev']> = Extract<ServerFrame, { ev: E }>;

const RELEASED_MAX = 1000; // slots that nobody subscribes to any more, kept for whoever comes back
const FORBIDDEN = new Set(['no_grant', 'revoked', 'grant_removed']);

export class Store {
  readonly #book = new Book();
  readonly #keys = new Map<string, Key>();
  readonly #dirty = new Set<Slot>();
  readonly #changedKeys = new Set<string>();
  #taken: Change[] = []; // balances that may not be shown any more
  /** Perhaps these were lost; the answer to a repair will tell. */
  readonly #doubted = new Set<Slot>();
  /** Currencies that the gateway called by name where it would not have named its default. */
  readonly #notDefault = new Set<string>();
  #link: Link = 'down';
  #heardAt = 0;

  #defaultCurrency: string | undefined;

  constructor(defaultCurrency: string | undefined, initial?: Snapshot | null) {
    this.#defaultCurrency = defaultCurrency;
    for (const slot of fromSnapshot(initial)) {
      if (!this.#book.find(slot.account, slot.currency)) this.#book.add(slot);
    }
  }

  // ---- what comes in ----

  setLink(link: Link, heardAt: number): void {
    if (link === this.#link) return;
    const old = this.#link;
    if (link === 'down') this.#doubted.clear();
    this.#link = link;
    this.#heardAt = heardAt;
    for (const slot of this.#book.all()) {
      if (link === 'down') unprove(slot, heardAt, 'disconnected');
      if (link === 'down' || old !== 'down') this.#touch(slot);
    }
  }

  heard = (now: number): void => void (this.#heardAt = now);

  upd(entries: readonly WireEntry[], now: number): void {
    for (const wire of entries) {
      const slot = this.#book.find(wire.k, wire.d.currency);
      const order = slot ? compareVersions(slot.balance.v, wire.v) : 'newer';
      if (order === 'bad') continue;
      const fresh = slot ?? this.#book.add(newSlot(balanceOf(wire), now, null));
      fresh.hash = fnv64(slotText(wire.k, wire.d.currency, wire.v));
      fresh.suspect = null;
      this.#touch(fresh);
      if (order === 'older') {
        // never shown; and what is shown is not proved by a replica that has not even got that far
        if (!fresh.proved) fresh.reason = 'behind_client';
        continue;
      }
      if (order !== 'same') fresh.balance = balanceOf(wire);
      this.#prove(fresh, now);
    }
  }

  /** False: a key is said to be current of which nothing is held, so that everything must be sent again. */
  sub(frame: Frame<'sub'>, now: number): boolean {
    let held = true;
    for (const text of frame.ok) this.#key(text).denied = null;
    for (const text of frame.current) {
      const slots = this.#book.covered(text);
      this.#key(text).denied = null;
      held &&= slots.length > 0;
      for (const slot of slots) {
        slot.hash = fnv64(slotText(slot.account, slot.currency, slot.balance.v));
        this.#prove(slot, now);
        this.#touch(slot);
      }
    }
    for (const { key, code } of frame.denied) this.deny(key, code);
    for (const text of [...frame.ok, ...frame.current]) this.#touchKey(text);
    return held;
  }

  deny(text: string, code: string): void {
    const key = this.#key(text);
    const slots = this.#book.covered(text);
    key.denied = code;
    key.reason = null;
    for (const slot of slots) {
      if (!FORBIDDEN.has(code)) unprove(slot, this.#heardAt, code);
      else this.#forget(slot, code);
    }
    this.#touchKey(text);
  }

  /** False: it is not clear which balance is meant, so that everything must be sent again. */
  state(frame: Frame<'state'>, subscribed: (key: string) => boolean, now: number): boolean {
    const lost = frame.state === 'unknown' || frame.state === 'removed';
    const reason = frame.reason ?? null;
    const asking = this.#doubted.size > 0; // said again with the answer, in which what there is stands before it
    for (const text of frame.keys) {
      const slots = this.#named(text, lost, subscribed);
      // even the only one that is held may not be meant: the default currency's may never have been seen
      const doubt = lost ? !text.includes('/') && !this.#defaultCurrency : slots.length > 1;
      for (const slot of slots) {
        if (!lost && doubt && !slot.proved) continue;
        if (!lost) this.#label(slot, frame, now);
        else if (!doubt) this.#lose(slot, frame.state, reason);
        else if (!asking) this.#doubted.add(Object.assign(slot, { suspect: { reason } }));
        this.#touch(slot);
      }
      const key = this.#keys.get(text);
      if (!lost || !key) continue;
      key.reason = reason ?? frame.state;
      this.#touchKey(text);
    }
    return asking || !this.#doubted.size;
  }

  /** Everything that this connection has was sent again: what was not is what was lost. False: nothing was in doubt. */
  settle(): boolean {
    const gone = [...this.#doubted].filter((slot) => slot.suspect);
    for (const slot of this.#doubted) if (!slot.suspect) this.#notDefault.add(slot.currency);
    if (gone.length === 1) this.#defaultCurrency = gone[0]!.currency;
    for (const slot of gone) {
      this.#lose(slot, 'removed', slot.suspect!.reason);
      this.#touch(slot);
    }
    const any = this.#doubted.size > 0;
    this.#doubted.clear();
    return any;
  }

  digest(): string {
    const hashes = [];
    for (const slot of this.#book.all()) if (slot.hash) hashes.push(slot.hash);
    return digestOf(hashes);
  }

  /** What is covered by none of the keys that are subscribed is proved no more, and not kept for ever. */
  release(subscribed: { has(key: string): boolean; readonly size: number }): void {
    let spare = 0;
    for (const slot of [...this.#book.all()].reverse()) {
      if (subscribed.has(slot.account) || subscribed.has(`${slot.account}/${slot.currency}`)) continue;
      unprove(slot, this.#heardAt, 'not_subscribed');
      this.#touch(slot);
      if (++spare > RELEASED_MAX) this.#drop(slot);
    }
    const prune = this.#keys.size > subscribed.size + RELEASED_MAX;
    for (const [text, key] of this.#keys) {
      if (subscribed.has(text)) continue;
      if (prune) this.#keys.delete(text);
      else Object.assign(key, blankKey(), { view: key.view });
    }
  }

  // ---- what goes out ----

  since = (text: string): Since | undefined => this.#book.since(text);

  view(text: string): Subscription {
    const key = this.#key(text);
    if (!key.view || key.dirty) {
      key.dirty = false;
      const entries = key.denied ? [] : this.#book.covered(text).map((slot) => this.#entry(slot));
      const view = buildView(text, key, entries, this.#defaultCurrency);
      if (!key.view || !sameView(key.view, view)) key.view = view;
    }
    return key.view;
  }

  /** What changed since it was asked last: balances, and the keys that show them. */
  takeChanges(): { balances: Change[]; keys: string[] } {
    const balances = this.#taken;
    this.#taken = [];
    for (const slot of this.#dirty) {
      const previous = slot.announced;
      const entry = this.#entry(slot);
      slot.announced = entry;
      if (entry !== previous) balances.push({ entry, previous });
    }
    const keys = [...this.#changedKeys];
    this.#dirty.clear();
    this.#changedKeys.clear();
    return { balances, keys };
  }

  snapshot = (): Snapshot => toSnapshot(this.#book.all(), this.#link, this.#heardAt);

  // ---- slots ----

  #forget(slot: Slot, reason: string): void {
    const { account, currency, announced: previous } = slot;
    const entry: Entry = { status: 'denied', lastKnown: null, asOf: null, reason, account, currency };
    if (previous) this.#taken.push({ entry, previous });
    this.#drop(slot);
  }

  #drop(slot: Slot): void {
    this.#doubted.delete(slot);
    this.#book.remove(slot);
    this.#dirty.delete(slot);
    this.#touchKeysOf(slot);
  }

  /**
   * The balances that a state's key means. `A/USD` is one. `A` is the one in the gateway's default
   * currency, which it does not say: it is the only one, or the one that never gets called by name.
   */
  #named(text: string, lost: boolean, subscribed: (key: string) => boolean): Slot[] {
    const [account, currency] = splitKey(text);
    if (currency) {
      if (!subscribed(text)) this.#notDefault.add(currency);
      return this.#book.covered(text);
    }
    const slots = this.#book.covered(account);
    if (this.#defaultCurrency) return slots.filter((slot) => slot.currency === this.#defaultCurrency);
    const may = slots.filter((slot) => !this.#notDefault.has(slot.currency));
    if (lost || may.length > 1) return may;
    // a balance that is labelled is one that we were sent: if it can be none, we have learned something wrong
    if (may[0]) this.#defaultCurrency = may[0].currency;
    else this.#notDefault.clear();
    return may[0] ? may : slots;
  }

  #prove(slot: Slot, now: number): void {
    if (!slot.proved) slot.reason = null;
    if (slot.told === 'fresh') slot.provedAt = now;
    slot.proved = true;
    slot.gone = null;
  }

  #label(slot: Slot, { state, reason, lag_ms: lag }: Frame<'state'>, now: number): void {
    const behind = reason === 'behind_client'; // its lag is that of another, older value
    if (lag !== undefined && !behind) slot.provedAt = now - lag;
    else if (state === 'fresh') slot.provedAt = now;
    else if (slot.told === 'fresh' && slot.proved) slot.provedAt = this.#heardAt;
    slot.told = state as Slot['told'];
    slot.reason = reason ?? null;
    slot.proved ||= !behind;
    slot.gone = null;
  }

  /** A value that the gateway lost sight of is shown as the last one; one that does not exist is removed. */
  #lose(slot: Slot, state: 'unknown' | 'removed', reason: string | null): void {
    const unreachable = state === 'unknown' && reason !== 'no_such_account';
    unprove(slot, this.#heardAt, reason ?? state);
    slot.reason = reason ?? state;
    slot.gone = unreachable ? null : { reason };
  }

  // ---- views ----

  #key(text: string): Key {
    let key = this.#keys.get(text);
    if (!key) {
      key = blankKey();
      this.#keys.set(text, key);
    }
    return key;
  }

  #touch(slot: Slot): void {
    this.#dirty.add(slot);
    this.#touchKeysOf(slot);
  }

  #touchKeysOf({ account, currency }: Slot): void {
    this.#touchKey(account);
    this.#touchKey(`${account}/${currency}`);
  }

  #touchKey(text: string): void {
    const key = this.#keys.get(text);
    if (!key) return;
    key.dirty = true;
    this.#changedKeys.add(text);
  }

  #entry(slot: Slot): Entry {
    const state = stateOf(slot, this.#link, this.#heardAt);
    if (!slot.entry || !sameState(slot.entry, state)) {
      slot.entry = { ...state, account: slot.account, currency: slot.currency };
    }
    return slot.entry;
  }
}
