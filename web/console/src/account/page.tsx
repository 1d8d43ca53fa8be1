// SPDX-License-Identifier: Apache-2.0
// One account: the amount with its freshness, what this session saw of it, and what a read over REST says at this moment.
import { useEffect, useState } from 'preact/hooks';
import { href } from '../route.ts';
import type { Row, Rows } from '../rows.ts';
import { connection } from '../session.ts';
import { useStore, type Store } from '../store.ts';
import { HIDDEN, hidden } from '../ui/hidden.ts';
import { Change, Money } from '../live/row.tsx';
import { KEY, amount, changeText, clock, freshness } from '../words.ts';
import { History } from './history.tsx';
import { ReadNow } from './read.tsx';

function latencies(row: Row) {
  const all = row.points.flatMap((point) => (point.latency === null ? [] : [point.latency])).sort((a, b) => a - b);
  return all.length ? { median: all[Math.floor(all.length / 2)]!, worst: all.at(-1)!, count: all.length } : null;
}

function Facts({ row, hide }: { row: Row; hide: boolean }) {
  const known = row.now.lastKnown;
  const delay = latencies(row);
  return (
    <dl class="facts">
      <div>
        <dt>Version</dt>
        <dd class="mono">{known?.v ?? '—'}</dd>
      </div>
      <div>
        <dt>Pending</dt>
        <dd>{known ? hide ? HIDDEN : amount({ minor: known.pendingMinor, currency: known.currency }) : '—'}</dd>
      </div>
      <div>
        <dt>Committed</dt>
        <dd>{known?.ts ? clock(known.ts) : '—'}</dd>
      </div>
      <div>
        <dt>Ledger to here</dt>
        <dd>{delay ? `${delay.median} ms, at most ${delay.worst} ms` : '—'}</dd>
      </div>
      <div>
        <dt>Seen here</dt>
        <dd>
          {row.points.length} {row.points.length === 1 ? 'version' : 'versions'}
        </dd>
      </div>
    </dl>
  );
}

function Versions({ row, hide }: { row: Row; hide: boolean }) {
  const currency = row.now.lastKnown?.currency ?? '';
  if (!row.points.length) return null;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Versions of this session">
      <table class="versions">
        <thead>
          <tr>
            <th scope="col">Came</th>
            <th scope="col">Version</th>
            <th scope="col" class="money">
              Balance
            </th>
            <th scope="col" class="money">
              Change
            </th>
            <th scope="col">Transaction</th>
            <th scope="col" class="money">
              Merged
            </th>
            <th scope="col" class="money">
              Delay
            </th>
          </tr>
        </thead>
        <tbody>
          {[...row.points].reverse().map((point) => (
            <tr key={point.v}>
              <td>{clock(point.at)}</td>
              <td class="mono">{point.v}</td>
              <td class="money">{hide ? HIDDEN : amount({ minor: point.minor, currency })}</td>
              <td class="money">{point.change === null ? '' : hide ? HIDDEN : changeText(point.change, currency)}</td>
              <td class="mono">{point.txnId ?? ''}</td>
              <td class="money">{point.merged || ''}</td>
              <td class="money">{point.latency === null ? '' : `${point.latency} ms`}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Known({ source }: { source: Store<Row> }) {
  const row = useStore(source);
  const hide = useStore(hidden);
  const connected = useStore(connection).status === 'live';
  const fresh = freshness(row.now, connected);
  const account = row.now.lastKnown?.account ?? row.key.split('/')[0]!;
  const currency = row.now.lastKnown?.currency ?? row.key.split('/')[1];
  return (
    <>
      <section class="card wide hero" aria-labelledby="account-title" data-tone={fresh.tone}>
        <h1 id="account-title">{row.id}</h1>
        <p class="big">
          <Money row={row} hide={hide} />
        </p>
        <p>
          <span class="pill">{fresh.word}</span> {fresh.detail && <small>{fresh.detail}</small>} <Change row={row} hide={hide} />
        </p>
        <Facts row={row} hide={hide} />
      </section>
      <section class="card wide">
        <h2>This session</h2>
        {!hide && <History points={row.points} currency={currency ?? ''} />}
        <Versions row={row} hide={hide} />
      </section>
      <ReadNow account={account} currency={currency} hide={hide} />
    </>
  );
}

export function AccountPage({ rows, id }: { rows: Rows; id: string }) {
  const order = useStore(rows.order);
  const wanted = id || order[0] || '';
  const [, again] = useState(0);
  useEffect(() => {
    // after a reload the account may be watched already, and its currencies not be known yet
    if (!KEY.test(id) || rows.row(id) || rows.watches(id.split('/')[0]!)) return;
    rows.watch([id]);
    again((n) => n + 1);
  }, [id, rows]);
  const source = rows.row(wanted);
  return (
    <>
      <nav class="crumbs" aria-label="Accounts">
        <label for="which">Account</label>
        <select id="which" value={wanted} onChange={(event) => (location.hash = href('account', event.currentTarget.value))}>
          {order.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </nav>
      {source ? (
        <Known key={wanted} source={source} />
      ) : (
        <section class="card wide empty">
          <h1>No account yet</h1>
          <p>
            Watch one on the <a href={href('live')}>Live</a> page.
          </p>
        </section>
      )}
    </>
  );
}
