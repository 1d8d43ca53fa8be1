// SPDX-License-Identifier: Apache-2.0
// What a key shows: of one balance, or of all that an account has.
import { splitKey } from './protocol.js';
import { sameState } from './slots.js';
import type { BalanceState, Entry, Subscription } from './types.js';

export interface Key {
  denied: string | null;
  /** Why there is no value, where there is none. */
  reason: string | null;
  view: Subscription | null;
  /** Something may have changed since `view` was made. */
  dirty: boolean;
}

export interface Change {
  readonly entry: Entry;
  readonly previous: Entry | null;
}

export const blankKey = (): Key => ({ denied: null, reason: null, view: null, dirty: true });

export function buildView(text: string, key: Key, entries: readonly Entry[], defaultCurrency: string | undefined): Subscription {
  const wanted = splitKey(text)[1] ?? defaultCurrency;
  const main =
    entries.find((entry) => entry.currency === wanted) ??
    entries.find((entry) => entry.status !== 'removed') ??
    entries[0];
  let state: BalanceState = main ?? { status: 'pending', lastKnown: null, asOf: null, reason: key.reason };
  if (key.denied) state = { status: 'denied', lastKnown: null, asOf: null, reason: key.denied };
  return { ...state, key: text, entries };
}

export function sameView(a: Subscription, b: Subscription): boolean {
  return (
    sameState(a, b) && a.entries.length === b.entries.length && a.entries.every((entry, i) => entry === b.entries[i])
  );
}
