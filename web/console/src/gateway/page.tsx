// SPDX-License-Identifier: Apache-2.0
// Gateway: how this replica is doing, second by second. Only of this process; another replica has a page of its own.
import { useEffect, useState } from 'preact/hooks';
import type { Session } from '../session.ts';
import { Chart } from '../ui/chart.tsx';
import { Tile, bytes, count, duration, percent, rate, some, type TileTone } from './figures.tsx';
import { Flags, Latencies, Partitions, Refusals } from './tables.tsx';
import { listen, type Ops, type Up } from './ops.ts';

const SECONDS_SHOWN = 180;

interface Seen {
  readonly ops: Ops | null;
  readonly past: readonly Ops[];
  readonly why: string | null;
  readonly refused: boolean;
}

function useOps(session: Session): Seen {
  const [seen, setSeen] = useState<Seen>({ ops: null, past: [], why: null, refused: false });
  useEffect(
    () =>
      listen(session, (heard) =>
        setSeen((before) => {
          if ('ops' in heard) return { ops: heard.ops, past: [...before.past.slice(-SECONDS_SHOWN + 1), heard.ops], why: null, refused: false };
          if ('refused' in heard) return { ...before, why: heard.refused, refused: true };
          return { ...before, why: heard.away };
        }),
      ),
    [session],
  );
  return seen;
}

const STATE_TONE: Record<Ops['process']['state'], TileTone> = { ready: 'good', degraded: 'warn', starting: 'warn', draining: 'bad' };
const UP_TONE: Record<Up, TileTone> = { up: 'good', down: 'bad', off: 'soft' };
const PROOF_TONE = { fresh: 'good', delayed: 'warn', stale: 'bad', unknown: 'soft' } as const;

function Health({ ops }: { ops: Ops }) {
  const { process, sources, kafka } = ops;
  const breaker = (name: string | null) => (name && name !== 'closed' ? `breaker ${name.replace('_', '-')}` : null);
  return (
    <div class="tiles">
      <Tile name="This replica" value={process.state} tone={STATE_TONE[process.state]} detail={[...process.reasons, ...process.degraded].join(', ') || `up ${duration(process.uptime_s)}`} />
      <Tile name="Kafka" value={kafka.proof.state} tone={PROOF_TONE[kafka.proof.state]} detail={kafka.lag_records ? `${count(kafka.lag_records)} records behind` : `proved ${duration(kafka.proof.age_s)} ago`} />
      <Tile name="Redis" value={sources.redis.state} tone={UP_TONE[sources.redis.state]} detail={breaker(sources.redis.breaker) ?? (sources.redis.state === 'off' ? 'not configured' : `hit ratio ${percent(ops.caches.l2.hit_ratio)}`)} />
      <Tile name="Invalidations" value={sources.invalidations.state} tone={UP_TONE[sources.invalidations.state]} detail={sources.invalidations.state === 'off' ? 'not configured' : 'the channel balance:invalidate'} />
      <Tile
        name={sources.origin.kind === 'postgresql' ? 'PostgreSQL' : 'Origin'}
        value={sources.origin.state}
        tone={UP_TONE[sources.origin.state]}
        detail={breaker(sources.origin.breaker) ?? (sources.origin.state === 'off' ? 'not configured' : `${rate(sources.origin.calls_per_s)} calls`)}
      />
    </div>
  );
}

function Work({ ops }: { ops: Ops }) {
  const { connections, deliveries, slow_clients: slow, shedding, reads } = ops;
  return (
    <div class="tiles work">
      <Tile name="Connections" value={count(connections.total)} detail={`${some(ops.sessions, 'session')}, ${some(ops.subscriptions, 'subscription')}`} />
      <Tile name="Deliveries" value={rate(deliveries.delivered_per_s)} detail={`${count(deliveries.pending)} pending, ${bytes(deliveries.bytes_per_s)}/s`} />
      <Tile name="Records" value={rate(ops.records.consumed_per_s)} detail={`${count(ops.records.rejected_total)} rejected`} tone={ops.records.rejected_per_s > 0 ? 'warn' : undefined} />
      <Tile name="Reads" value={rate(reads.per_s)} detail={`${count(reads.waiting)} waiting${ops.caches.l1.hit_ratio === null ? '' : `, ${percent(ops.caches.l1.hit_ratio)} from memory`}`} />
      <Tile name="Slow clients" value={count(slow.stalled_now)} detail={`${some(slow.merged_total, 'update')} merged, ${count(slow.closed_total)} closed`} tone={slow.stalled_now > 0 ? 'warn' : undefined} />
      <Tile name="Shed" value={rate(shedding.shed_per_s)} detail={shedding.burst ? `${count(shedding.tokens)} of ${count(shedding.burst)} tokens` : 'not configured'} tone={shedding.shed_per_s > 0 ? 'bad' : undefined} />
      <Tile name="Memory" value={bytes(ops.memory.resident_bytes)} detail={`${some(ops.memory.book_keys, 'account')} held`} />
      <Tile name="Hedges" value={rate(ops.hedges.per_s)} detail={`won: ${count(ops.hedges.won_by_cache_total)} by Redis, ${count(ops.hedges.won_by_database_total)} by the database`} />
    </div>
  );
}

function Charts({ past }: { past: readonly Ops[] }) {
  const times = past.map((ops) => Date.parse(ops.timestamp) / 1000);
  const line = (value: (ops: Ops) => number | null) => past.map(value);
  const ms = (value: number | null) => (value === null ? null : value * 1000);
  return (
    <div class="charts">
      <Chart
        label="Deliveries and records a second"
        lines={[
          { label: 'deliveries', tone: 'brand' },
          { label: 'records', tone: 'good' },
        ]}
        data={[times, line((o) => o.deliveries.delivered_per_s), line((o) => o.records.consumed_per_s)]}
      />
      <Chart
        label="Hand-over to the socket, ms"
        lines={[
          { label: 'p50', tone: 'good' },
          { label: 'p99', tone: 'warn' },
        ]}
        data={[times, line((o) => ms(o.latency.handoff.p50_s)), line((o) => ms(o.latency.handoff.p99_s))]}
      />
      <Chart label="Connections" lines={[{ label: 'connections', tone: 'brand' }]} data={[times, line((o) => o.connections.total)]} />
      <Chart label="Kafka, records behind" lines={[{ label: 'behind', tone: 'bad' }]} data={[times, line((o) => o.kafka.lag_records)]} />
    </div>
  );
}

export function GatewayPage({ session }: { session: Session }) {
  const { ops, past, why, refused } = useOps(session);
  if (!ops)
    return (
      <section class="card wide empty" role="status">
        <h1>{refused ? 'No access' : 'Gateway'}</h1>
        <p>{why ?? 'Asking the gateway…'}</p>
      </section>
    );
  return (
    <>
      <section class="card wide" aria-labelledby="gateway-title" data-old={why ? '' : undefined}>
        <div class="head">
          <h1 id="gateway-title">
            {ops.process.instance} <small>{ops.process.version}</small>
          </h1>
          <p class="refused" role="alert">
            {why}
          </p>
        </div>
        <Health ops={ops} />
        <Work ops={ops} />
      </section>
      <section class="card wide" data-old={why ? '' : undefined}>
        <h2>Last three minutes</h2>
        <Charts past={past} />
      </section>
      <div class="columns" data-old={why ? '' : undefined}>
        <Latencies ops={ops} />
        <Partitions ops={ops} />
        <Refusals ops={ops} />
        <Flags ops={ops} />
      </div>
    </>
  );
}
