// SPDX-License-Identifier: Apache-2.0
// One slot, an account in one currency: what was said of it, and what follows for whoever looks at it.
import type { Hash } from './digest.js';
import type { WireEntry } from './protocol.js';
import type { Balance, BalanceState, Entry, Snapshot } from './types.js';

/** How good the connection is that proves the values: `quiet` is one that has said nothing for a while. */
export type Link = 'up' | 'quiet' | 'down';

export interface Slot {
  readonly account: string;
  readonly currency: string;
  balance: Balance;
  /** There is no value any more, and why. What it was is kept: a replica that was ahead may be contradicted. */
  gone: { reason: string | null } | null;
  /** Said, or confirmed, on this connection. */
  proved: boolean;
  /** What the gateway called it last on this connection; a value alone does not take that back. */
  told: 'fresh' | 'delayed' | 'stale';
  reason: string | null;
  /** When it was last known to be current, in epoch ms. */
  provedAt: number;
  /** Of what was last sent on this connection, for the digest. */
  hash: Hash | null;
  /** Perhaps it is this one that was removed: the answer to `repair` will tell. */
  suspect: { reason: string | null } | null;
  /** As it is shown; the same object until that changes. */
  entry: Entry | null;
  /** As it was last told to those who listen. */
  announced: Entry | null;
}

export function newSlot(balance: Balance, provedAt: number, reason: string | null): Slot {
  const { account, currency } = balance;
  return {
    account, currency, balance, provedAt, reason,
    gone: null, proved: false, told: 'fresh', hash: null, suspect: null, entry: null, announced: null,
  };
}

/** What the connection knew of it does not hold any more. */
export function unprove(slot: Slot, heardAt: number, reason: string): void {
  if (slot.proved) {
    if (slot.told === 'fresh') slot.provedAt = heardAt;
    slot.reason = reason;
  }
  Object.assign(slot, { proved: false, told: 'fresh', hash: null, suspect: null });
}

export function balanceOf({ k, v, merged, d }: WireEntry): Balance {
  return {
    account: k,
    currency: d.currency,
    minor: BigInt(d.minor),
    pendingMinor: BigInt(d.pendingMinor ?? 0),
    ts: d.ts ?? null,
    v,
    ...(d.deltaMinor !== undefined && { deltaMinor: BigInt(d.deltaMinor) }),
    ...(d.txnId !== undefined && { txnId: d.txnId }),
    ...(merged && { merged }),
  };
}

export function stateOf(slot: Slot, link: Link, heardAt: number): BalanceState {
  const { balance: lastKnown, provedAt, told, reason } = slot;
  if (slot.gone) return { status: 'removed', lastKnown, asOf: provedAt, reason: slot.gone.reason };
  if (!slot.proved || slot.suspect || told === 'stale' || link === 'down') {
    return { status: 'stale', lastKnown, asOf: provedAt, reason: reason ?? 'unproved' };
  }
  const silent = link === 'quiet' && told === 'fresh';
  return {
    status: 'live',
    freshness: silent ? 'delayed' : told,
    balance: lastKnown,
    lastKnown,
    asOf: silent ? heardAt : provedAt,
    reason: silent ? 'silent' : reason,
  };
}

/** Would somebody who looks see a difference? `asOf` alone is none while the value is fresh. */
export function sameState(a: BalanceState, b: BalanceState): boolean {
  const [was, is] = [a, b].map((state) => (state.status === 'live' ? state.freshness : state.status));
  return was === is && a.lastKnown === b.lastKnown && a.reason === b.reason && (is === 'fresh' || a.asOf === b.asOf);
}

export function toSnapshot(slots: Iterable<Slot>, link: Link, heardAt: number): Snapshot {
  const balances = [];
  for (const slot of slots) {
    if (slot.gone) continue;
    const { account, currency, minor, pendingMinor, ts, v } = slot.balance;
    const asOf = slot.proved && slot.told === 'fresh' && link !== 'down' ? heardAt : slot.provedAt;
    balances.push({ account, currency, minor: `${minor}`, pendingMinor: `${pendingMinor}`, ts, v, asOf });
  }
  return { format: 1, balances };
}

/** Storage may hold anything: what is not a balance is left out, and none is invented. */
export function fromSnapshot(snapshot: Snapshot | null | undefined): Slot[] {
  if (snapshot?.format !== 1 || !Array.isArray(snapshot.balances)) return [];
  const slots: Slot[] = [];
  for (const { asOf, minor, pendingMinor, ...kept } of (snapshot.balances as Snapshot['balances']).map((each) => each ?? {})) {
    if (!kept.account || !kept.v || !kept.currency || !(asOf > 0)) continue;
    try {
      slots.push(newSlot({ ...kept, minor: BigInt(minor), pendingMinor: BigInt(pendingMinor) }, asOf, 'restored'));
    } catch {
      continue;
    }
  }
  return slots;
}
