// SPDX-License-Identifier: Apache-2.0
// One balance. It alone is drawn again when it changes.
import { useEffect, useRef } from 'preact/hooks';
import { href } from '../route.ts';
import type { Row, Rows } from '../rows.ts';
import { connection } from '../session.ts';
import { useStore, type Store } from '../store.ts';
import { HIDDEN } from '../ui/hidden.ts';
import { Spark } from '../ui/spark.tsx';
import { breakable, changeText, figures, freshness } from '../words.ts';

function split(row: Row) {
  const slash = row.id.lastIndexOf('/');
  return slash > 0 ? { account: row.id.slice(0, slash), currency: row.id.slice(slash + 1) } : { account: row.id, currency: '' };
}

export function Money({ row, hide }: { row: Row; hide: boolean }) {
  const known = row.now.status === 'removed' ? null : row.now.lastKnown;
  if (!known) return <>—</>;
  return (
    <>
      {hide ? <span aria-label="hidden">{HIDDEN}</span> : figures(known.minor, known.currency)} <span class="unit">{known.currency}</span>
    </>
  );
}

export function Change({ row, hide }: { row: Row; hide: boolean }) {
  const last = row.points.at(-1);
  if (!last?.change || !row.now.lastKnown) return null;
  const fell = last.change < 0n;
  return (
    <span class={fell ? 'down' : 'up'}>
      <span class="arrow" aria-hidden="true">
        {fell ? '▼' : '▲'}
      </span>{' '}
      {hide ? <span aria-label="hidden">{HIDDEN}</span> : changeText(last.change, row.now.lastKnown.currency)}
    </span>
  );
}

export function BalanceRow({ rows, id, pinned, here, hide }: { rows: Rows; id: string; pinned: boolean; here: boolean; hide: boolean }) {
  const source = rows.row(id);
  return source ? <Known rows={rows} source={source} pinned={pinned} here={here} hide={hide} /> : null;
}

interface Shown {
  rows: Rows;
  source: Store<Row>;
  pinned: boolean;
  here: boolean;
  hide: boolean;
}

function Known({ rows, source, pinned, here, hide }: Shown) {
  const row = useStore(source);
  const connected = useStore(connection).status === 'live';
  const element = useRef<HTMLTableRowElement>(null);
  const { account, currency } = split(row);
  const fresh = freshness(row.now, connected);
  const fell = (row.points.at(-1)?.change ?? 0n) < 0n;

  useEffect(() => {
    const tr = element.current;
    if (!tr || row.moves === 0) return undefined;
    tr.classList.remove('rose', 'fell');
    const frame = requestAnimationFrame(() => tr.classList.add(fell ? 'fell' : 'rose')); // a frame without it starts the animation anew
    return () => cancelAnimationFrame(frame);
  }, [row.moves]);

  return (
    <tr ref={element} role="row" data-tone={fresh.tone} data-state={fresh.state} data-at={here ? '' : undefined}>
      <th scope="row" role="rowheader" class="account">
        <a href={href('account', row.id)}>
          {breakable(account).map((part, i) => (
            <>
              {i > 0 && <wbr />}
              {part}
            </>
          ))}
        </a>
        {currency && <span class="said">, {currency}</span>}
      </th>
      <td role="cell" class="money balance">
        <Money row={row} hide={hide} />
      </td>
      <td role="cell" class="money change">
        <Change row={row} hide={hide} />
      </td>
      <td role="cell" class="trend">{hide ? null : <Spark points={row.points} />}</td>
      <td role="cell" class="freshness">
        <span class="pill">{fresh.word}</span>
        {fresh.detail && (
          <small>
            <span class="dot-between"> · </span>
            {fresh.detail}
          </small>
        )}
      </td>
      <td role="cell" class="acts">
        <button type="button" class="icon" aria-pressed={pinned} title={pinned ? 'Unpin (p)' : 'Pin (p)'} aria-label={`Pin ${row.id}`} onClick={() => rows.pin(row.id)}>
          <span aria-hidden="true">{pinned ? '★' : '☆'}</span>
        </button>
        <button type="button" class="icon" title="Stop watching (x)" aria-label={`Stop watching ${row.key}`} onClick={() => rows.unwatch(row.key)}>
          <span aria-hidden="true">×</span>
        </button>
      </td>
    </tr>
  );
}
