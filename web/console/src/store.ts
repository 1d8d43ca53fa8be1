// SPDX-License-Identifier: Apache-2.0
// The smallest store that pages can look at: a value, and who wants to know. Whoever sets it decides what
// counts as a change. Pages see it through `useStore`.
import { useEffect, useState } from 'preact/hooks';

export interface Store<T> {
  get(): T;
  set(next: T | ((now: T) => T)): void;
  watch(call: () => void): () => void;
}

export function store<T>(first: T): Store<T> {
  let now = first;
  const watchers = new Set<() => void>();
  return {
    get: () => now,
    set(next) {
      const value = typeof next === 'function' ? (next as (now: T) => T)(now) : next;
      if (Object.is(value, now)) return;
      now = value;
      for (const call of [...watchers]) call();
    },
    watch(call) {
      watchers.add(call);
      return () => watchers.delete(call);
    },
  };
}

export function useStore<T>(s: Store<T>): T {
  const [value, setValue] = useState(s.get());
  useEffect(() => {
    const look = () => setValue(() => s.get());
    look(); // it may have changed between the first drawing and now
    return s.watch(look);
  }, [s]);
  return value;
}
