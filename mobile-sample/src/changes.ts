// SPDX-License-Identifier: Apache-2.0
// What changed while the app was open, newest first. The gateway tells values, not transactions: several
// may have become one update, and what happened before is a matter for a statement.
import type { Client, Entry } from '@balance-gateway/client';

export interface Change {
  readonly v: string;
  readonly at: number;
  readonly minor: bigint;
  /** To what was shown before; null for the first value of this session. */
  readonly delta: bigint | null;
  /** How many updates this one replaced. */
  readonly merged: number;
}

export interface Changes {
  /** The same array until there is another change. */
  of(account: string, currency: string): readonly Change[];
  subscribe(call: () => void): () => void;
  stop(): void;
}

const KEPT = 20; // of each balance
const NONE: readonly Change[] = [];

export function recordChanges(client: Client): Changes {
  const lists = new Map<string, readonly Change[]>();
  const listeners = new Set<() => void>();

  const stop = client.on('balance', (now: Entry, previous: Entry | null) => {
    const name = `${now.account}/${now.currency}`;
    if (now.status === 'denied' || now.status === 'removed') lists.delete(name);
    const balance = now.lastKnown;
    const before = previous?.lastKnown ?? null;
    if (now.status === 'live' && balance && balance.v !== before?.v) {
      const change: Change = {
        v: balance.v,
        at: now.asOf,
        minor: balance.minor,
        delta: before && balance.minor - before.minor,
        merged: balance.merged ?? 0,
      };
      lists.set(name, [change, ...(lists.get(name) ?? NONE)].slice(0, KEPT));
    }
    listeners.forEach((call) => call());
  });

  return {
    of: (account, currency) => lists.get(`${account}/${currency}`) ?? NONE,
    subscribe(call) {
      listeners.add(call);
      return () => void listeners.delete(call);
    },
    stop,
  };
}
