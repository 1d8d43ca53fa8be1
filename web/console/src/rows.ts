// SPDX-License-Identifier: Apache-2.0
// What the Live and the Account page draw: one row a balance, with what this session has seen of it. News are gathered and
// told once a frame, so 200 updates a second cost one drawing of the rows that changed.
import type { Client, Entry, Subscription } from '@balance-gateway/client';
import { store, type Store } from './store.ts';

export interface Point {
  readonly at: number; // when it came here
  readonly v: string;
  readonly minor: bigint;
  readonly change: bigint | null;
  readonly txnId: string | null;
  readonly merged: number;
  readonly latency: number | null; // from the ledger's time to here; clocks may differ
}

export interface Row {
  readonly id: string; // account/currency, or the key while nothing is known of it
  readonly key: string; // what was subscribed
  readonly now: Subscription | Entry;
  readonly points: readonly Point[];
  readonly moves: number; // grows with each change: who draws flashes
}

const POINTS_MAX = 240;
const KEPT = 'bgw.watched';
/** Who leaves takes along what was watched. */
export const forgetWatched = () => sessionStorage.removeItem(KEPT);

interface Kept {
  readonly keys: readonly string[];
  readonly pinned: readonly string[];
}

function kept(): Kept {
  try {
    const { keys = [], pinned = [] } = JSON.parse(sessionStorage.getItem(KEPT) ?? '{}') as Partial<Kept>;
    return { keys, pinned };
  } catch {
    return { keys: [], pinned: [] };
  }
}

export class Rows {
  readonly order: Store<readonly string[]> = store<readonly string[]>([]);
  readonly pinned: Store<ReadonlySet<string>> = store<ReadonlySet<string>>(new Set());
  readonly recent: Store<Row | null> = store<Row | null>(null);
  private readonly rows = new Map<string, Store<Row>>();
  private readonly ends = new Map<string, () => void>();
  private readonly waiting = new Map<string, Subscription>();
  private frame = 0;

  constructor(
    private readonly client: Client,
    first: readonly string[],
  ) {
    const before = kept();
    this.pinned.set(new Set(before.pinned));
    this.watch(before.keys.length ? before.keys : first);
  }

  row = (id: string): Store<Row> | undefined => this.rows.get(id);
  all = (): Row[] => this.order.get().map((id) => this.rows.get(id)!.get());
  watches = (key: string) => this.ends.has(key);

  watch(keys: readonly string[]) {
    for (const key of keys) {
      if (this.ends.has(key)) continue;
      this.ends.set(key, () => undefined);
      this.put(this.client.get(key));
      this.ends.set(key, this.client.subscribe(key, (now) => this.later(now)));
    }
    this.keep();
  }

  unwatch(key: string) {
    this.ends.get(key)?.();
    this.ends.delete(key);
    this.waiting.delete(key);
    for (const [id, row] of this.rows) if (row.get().key === key) this.rows.delete(id);
    this.order.set((ids) => ids.filter((id) => this.rows.has(id)));
    // A and A/USD may both be watched: what one of them leaves is the other's
    const [account] = key.split('/');
    for (const other of this.ends.keys()) if (other.split('/')[0] === account) this.put(this.client.get(other));
    this.pinned.set((now) => new Set([...now].filter((id) => this.ends.has(id) || this.ends.has(id.split('/')[0]!))));
    this.keep();
  }

  pin(id: string) {
    this.pinned.set((now) => {
      const next = new Set(now);
      if (!next.delete(id)) next.add(id);
      return next;
    });
    this.keep();
  }

  stop() {
    cancelAnimationFrame(this.frame);
    for (const end of this.ends.values()) end();
    this.ends.clear();
  }

  private keep() {
    sessionStorage.setItem(KEPT, JSON.stringify({ keys: [...this.ends.keys()], pinned: [...this.pinned.get()] }));
  }

  private later(now: Subscription) {
    this.waiting.set(now.key, now);
    // a hidden tab draws no frames: there the timer does it
    if (!this.frame) this.frame = document.hidden ? window.setTimeout(this.flush, 500) : requestAnimationFrame(this.flush);
  }

  private flush = () => {
    this.frame = 0;
    const news = [...this.waiting.values()];
    this.waiting.clear();
    for (const now of news) if (this.ends.has(now.key)) this.put(now);
  };

  private put(now: Subscription) {
    const entries: readonly (Subscription | Entry)[] = now.entries.length ? now.entries : [now];
    const ids = entries.map((entry) => ('account' in entry ? `${entry.account}/${entry.currency}` : now.key));
    entries.forEach((entry, i) => this.putOne(ids[i]!, now.key, entry));
    // while nothing was known the row was the key's; now it is the balance's
    for (const [id, row] of this.rows) if (row.get().key === now.key && !ids.includes(id)) this.rows.delete(id);
    this.place(now.key, ids);
  }

  private putOne(id: string, key: string, now: Subscription | Entry) {
    const there = this.rows.get(id);
    const before = there?.get();
    if (before?.now === now) return;
    const points = withPoint(before?.points ?? [], now);
    const moved = before !== undefined && points !== before.points && before.points.length > 0;
    const row: Row = { id, key, now, points, moves: (before?.moves ?? 0) + (moved ? 1 : 0) };
    if (there) there.set(row);
    else this.rows.set(id, store(row));
    if (moved) this.recent.set(row);
  }

  private place(key: string, ids: readonly string[]) {
    const order = this.order.get();
    if (ids.every((id) => order.includes(id)) && order.every((id) => this.rows.has(id))) return;
    const next: string[] = [];
    let placed = false;
    for (const id of order) {
      const mine = ids.includes(id) || !this.rows.has(id);
      if (mine && !placed) next.push(...ids);
      if (mine) placed = true;
      else next.push(id);
    }
    if (!placed) next.push(...ids);
    this.order.set([...new Set(next)].filter((id) => this.rows.has(id) && (ids.includes(id) || this.rows.get(id)!.get().key !== key)));
  }
}

function withPoint(points: readonly Point[], now: Subscription | Entry): readonly Point[] {
  const balance = now.status === 'live' ? now.balance : null;
  const last = points.at(-1);
  if (!balance || last?.v === balance.v) return points;
  const at = Date.now();
  const point: Point = {
    at,
    v: balance.v,
    minor: balance.minor,
    change: last ? balance.minor - last.minor : null,
    txnId: balance.txnId ?? null,
    merged: balance.merged ?? 0,
    latency: last && balance.ts !== null ? Math.max(0, at - balance.ts) : null, // the first one is as old as it is
  };
  return [...points.slice(-POINTS_MAX + 1), point];
}
