// SPDX-License-Identifier: Apache-2.0
// Live: the balances that are watched, pinned ones first. One field finds and adds.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { go } from '../route.ts';
import type { Rows } from '../rows.ts';
import { useStore } from '../store.ts';
import { hidden } from '../ui/hidden.ts';
import { forPage, inField } from '../ui/keys.tsx';
import { KEY } from '../words.ts';
import { BalanceRow } from './row.tsx';

const WATCHED_MAX = 1000;
const TOLD_MS = 5000;

/** Accounts in what was typed or pasted: between blanks and commas, `account` or `account/USD`. */
function keysIn(text: string): { keys: string[]; wrong: string[] } {
  const words = [...new Set(text.split(/[\s,;]+/).filter(Boolean))];
  return { keys: words.filter((word) => KEY.test(word)), wrong: words.filter((word) => !KEY.test(word)) };
}

function visible(rows: Rows, ids: readonly string[], pinned: ReadonlySet<string>, search: string) {
  const wanted = search.trim().toLowerCase();
  const found = wanted ? ids.filter((id) => id.toLowerCase().includes(wanted)) : ids;
  const shown = found.length ? found : wanted && keysIn(search).keys.some((key) => rows.watches(key)) ? ids : found;
  return [...shown.filter((id) => pinned.has(id)), ...shown.filter((id) => !pinned.has(id))];
}

export function LivePage({ rows }: { rows: Rows }) {
  const order = useStore(rows.order);
  const pinned = useStore(rows.pinned);
  const hide = useStore(hidden);
  const [search, setSearch] = useState('');
  const [told, setTold] = useState('');
  const [at, setAt] = useState<string | null>(null);
  const timer = useRef(0);
  const field = useRef<HTMLInputElement>(null);
  const body = useRef<HTMLTableSectionElement>(null);
  const ids = visible(rows, order, pinned, search);

  const add = () => {
    const { keys, wrong } = keysIn(search);
    const fresh = keys.filter((key) => !rows.watches(key));
    const room = WATCHED_MAX - new Set(rows.all().map((row) => row.key)).size;
    rows.watch(fresh.slice(0, room));
    clearTimeout(timer.current);
    if (!wrong.length) timer.current = window.setTimeout(() => setTold(''), TOLD_MS);
    if (wrong.length) setTold(`Not an account: ${wrong.slice(0, 3).join(', ')}`);
    else if (fresh.length > room) setTold(`This page watches up to ${WATCHED_MAX} accounts.`);
    else setTold(fresh.length ? `Watching ${fresh.length === 1 ? fresh[0] : `${fresh.length} more accounts`}.` : 'Already watched.');
    setSearch(wrong.join(' '));
  };

  // a layout effect: the next key may come before the others run
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === 'Escape' && event.target === field.current) return setSearch(''), field.current?.blur();
      if (inField(event)) return undefined;
      const i = at === null ? -1 : ids.indexOf(at);
      const row = at === null ? undefined : rows.row(at)?.get();
      const drop = (key: string, there: number) => {
        rows.unwatch(key);
        const left = ids.filter((id) => rows.row(id));
        setAt(left[Math.min(there, left.length - 1)] ?? null);
      };
      const move = (to: number) => setAt(ids[Math.min(Math.max(to, 0), ids.length - 1)] ?? null);
      if (event.key === '/') field.current?.focus();
      else if (event.key === 'j' || event.key === 'ArrowDown') move(i + 1);
      else if (event.key === 'k' || event.key === 'ArrowUp') move(i - 1);
      else if (event.key === 'p' && row) rows.pin(row.id);
      else if (event.key === 'x' && row) drop(row.key, i);
      else if (event.key === 'Enter' && row && forPage(event)) go('account', row.id);
      else return undefined;
      event.preventDefault();
      return undefined;
    };
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  });

  useEffect(() => {
    body.current?.querySelector('[data-at]')?.scrollIntoView({ block: 'nearest' });
  }, [at]);

  return (
    <section class="card wide" aria-labelledby="live-title">
      <div class="head">
        <h1 id="live-title">
          Live balances <span class="count">{order.length}</span>
        </h1>
        <form
          class="find"
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            add();
          }}
        >
          <input
            ref={field}
            type="search"
            aria-label="Search balances, or add an account"
            placeholder="Search, or add an account…"
            autocomplete="off"
            spellcheck={false}
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
            onPaste={(event) => {
              const text = event.clipboardData?.getData('text') ?? '';
              if (!/[\r\n]/.test(text)) return; // of a list a field would make one word
              event.preventDefault();
              setSearch(`${search} ${text.replace(/\s+/g, ' ')}`.trim());
            }}
          />
          <kbd aria-hidden="true">/</kbd>
          <button type="submit" class="main" disabled={!search.trim()}>
            Watch
          </button>
        </form>
        <button type="button" class="quiet" aria-pressed={hide} onClick={() => hidden.set(!hide)}>
          {hide ? 'Show amounts' : 'Hide amounts'}
        </button>
      </div>
      <p class="told" role="status">
        {told}
      </p>
      {order.length === 0 ? (
        <div class="empty">
          <h2>Nothing is watched yet</h2>
          <p>
            Type an account above and press <kbd>Enter</kbd>, or paste a list of them. <code>account/USD</code> is one currency of it.
          </p>
        </div>
      ) : (
        // roles, because rows that are grids are no table to every browser
        <table class="balances" role="table">
          <thead role="rowgroup">
            <tr role="row">
              <th scope="col" role="columnheader">Account</th>
              <th scope="col" role="columnheader" class="money">
                Balance
              </th>
              <th scope="col" role="columnheader" class="money change">
                Last change
              </th>
              <th scope="col" role="columnheader" class="trend">
                This session
              </th>
              <th scope="col" role="columnheader">Freshness</th>
              <th scope="col" role="columnheader">
                <span class="said">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody ref={body} id="rows" role="rowgroup">
            {ids.map((id) => (
              <BalanceRow key={id} rows={rows} id={id} pinned={pinned.has(id)} here={id === at} hide={hide} />
            ))}
          </tbody>
        </table>
      )}
      {order.length > 0 && ids.length === 0 && (
        <p class="empty">
          No watched balance has “{search.trim()}” in its name. <kbd>Enter</kbd> watches it.
        </p>
      )}
    </section>
  );
}
