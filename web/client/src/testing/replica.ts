// SPDX-License-Identifier: Apache-2.0
// One gateway of several: how far it has read the log that all share, and who is connected to it.
import type { WireEntry } from '../protocol.js';
import type { FakeSession } from './session.js';

export interface Write {
  readonly account: string;
  readonly currency: string;
  readonly seq: number;
  /** null: removed. */
  readonly minor: bigint | null;
  readonly pendingMinor: bigint;
  readonly ts: number;
}

export const slotOf = ({ account, currency }: { account: string; currency: string }): string => `${account}|${currency}`;

export class Replica {
  readonly sessions = new Set<FakeSession>();
  private readonly held = new Map<string, Write>();
  private read = 0;

  constructor(private readonly log: readonly Write[], readonly epoch: () => string) {}

  /** Reads on, by `count` records or to the end. */
  readOn(count = Infinity): void {
    const until = Math.min(this.log.length, this.read + count);
    for (; this.read < until; this.read++) {
      const write = this.log[this.read]!;
      this.held.set(slotOf(write), write);
      for (const session of this.sessions) session.news(write);
    }
  }

  get behind(): number {
    return this.log.length - this.read;
  }

  get(account: string, currency: string): Write | undefined {
    return this.held.get(`${account}|${currency}`);
  }

  slotsOf(account: string): Write[] {
    return [...this.held.values()].filter((write) => write.account === account);
  }

  version(write: Write): string {
    return `${this.epoch()}.${write.seq}`;
  }

  entry(write: Write, snap: boolean): WireEntry & { snap?: true } {
    const { account, currency, minor, pendingMinor, ts } = write;
    const d = { currency, minor: String(minor), pendingMinor: String(pendingMinor), ts };
    return { k: account, v: this.version(write), ...(snap && { snap: true }), d };
  }
}
