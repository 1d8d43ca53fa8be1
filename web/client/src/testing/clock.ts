// SPDX-License-Identifier: Apache-2.0
// Time that moves when the test says so. Promises are let run between timers, so that what a client
// awaits (its token, a response) has come before the next timer fires.
import type { Clock } from '../types.js';

export interface FakeClock extends Clock {
  /** Moves time on, firing what is due in its order. */
  advance(ms: number): Promise<void>;
  /** Lets promises run; no time passes. */
  settle(): Promise<void>;
  /** Time passes and nothing fires until afterwards, as when a phone sleeps. */
  sleep(ms: number): Promise<void>;
}

const TURNS = 12; // promises that wait for promises: more than any path here has

interface Timer {
  readonly at: number;
  readonly call: () => void;
}

export function createFakeClock(startMs = Date.UTC(2026, 0, 1, 12)): FakeClock {
  let now = startMs;
  let lastId = 0;
  const timers = new Map<number, Timer>();

  async function settle(): Promise<void> {
    for (let i = 0; i < TURNS; i++) await Promise.resolve();
  }

  function nextDue(until: number): number | undefined {
    let next: number | undefined;
    for (const [id, { at }] of timers) if (at <= until && (next === undefined || at < timers.get(next)!.at)) next = id;
    return next;
  }

  async function advance(ms: number): Promise<void> {
    const until = now + ms;
    await settle();
    for (let id = nextDue(until); id !== undefined; id = nextDue(until)) {
      const { at, call } = timers.get(id)!;
      timers.delete(id);
      now = Math.max(now, at);
      call();
      await settle();
    }
    now = until;
  }

  return {
    now: () => now,
    setTimeout(call, ms) {
      timers.set(++lastId, { at: now + Math.max(0, ms), call });
      return lastId;
    },
    clearTimeout: (id) => void timers.delete(id as number),
    advance,
    settle,
    async sleep(ms) {
      now += ms;
      await advance(0);
    },
  };
}
