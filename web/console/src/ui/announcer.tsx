// SPDX-License-Identifier: Apache-2.0
// What is said aloud of changing balances: at most one sentence in five seconds, of pinned balances where there are any, and nothing
// while amounts are hidden.
import { useEffect, useState } from 'preact/hooks';
import type { Rows } from '../rows.ts';
import { amount } from '../words.ts';
import { hidden } from './hidden.ts';

const PAUSE_MS = 5000;

export function Announcer({ rows }: { rows: Rows }) {
  const [text, setText] = useState('');
  useEffect(() => hidden.watch(() => setText('')), []);
  useEffect(() => {
    let last = 0;
    return rows.recent.watch(() => {
      const row = rows.recent.get();
      const pinned = rows.pinned.get();
      if (!row || row.now.status !== 'live' || hidden.get() || Date.now() - last < PAUSE_MS) return;
      if (pinned.size && !pinned.has(row.id)) return;
      last = Date.now();
      setText(`${row.now.balance.account}: ${amount(row.now.balance)}`);
    });
  }, [rows]);
  return (
    <p class="said" aria-live="polite">
      {text}
    </p>
  );
}
