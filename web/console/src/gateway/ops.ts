// SPDX-License-Identifier: Apache-2.0
// /v1/ops as the page reads it, and the stream of it. By fetch and not by EventSource: the token stays in a header.
import type { Session } from '../session.ts';

type N = number | null;
export type Up = 'up' | 'down' | 'off';
type Breaker = 'closed' | 'half_open' | 'open' | null;

export interface Latency {
  readonly count: number;
  readonly p50_s: N;
  readonly p90_s: N;
  readonly p99_s: N;
  readonly max_s: N;
}

/** What of docs/ops-api.md the page shows. */
export interface Ops {
  readonly timestamp: string;
  readonly seq: number;
  readonly process: {
    version: string;
    instance: string;
    shards: number;
    uptime_s: number;
    state: 'starting' | 'ready' | 'degraded' | 'draining';
    since: string;
    reasons: string[];
    degraded: string[];
  };
  readonly connections: { total: number; by_dialect: Record<string, number>; by_transport: Record<string, number>; accepted_per_s: number; refused_total: number };
  readonly sessions: number;
  readonly subscriptions: number;
  readonly watched_keys: number;
  readonly records: { consumed_total: number; consumed_per_s: number; rejected_total: number; rejected_per_s: number };
  readonly deliveries: {
    delivered_total: number;
    delivered_per_s: number;
    merged_total: number;
    merged_per_s: number;
    abandoned_total: number;
    pending: number;
    bytes_per_s: number;
  };
  readonly latency: Record<'handoff' | 'read' | 'redis' | 'origin', Latency>;
  readonly kafka: {
    proof: { state: 'fresh' | 'delayed' | 'stale' | 'unknown'; age_s: N };
    lag_records: number;
    lag_s: number;
    partition_count: number;
    partitions: { partition: number; lag_records: number; lag_s: number }[];
  };
  readonly sources: {
    redis: { state: Up; since: string; breaker: Breaker };
    invalidations: { state: Up; since: string };
    origin: { kind: string | null; state: Up; since: string; breaker: Breaker; calls_per_s: number; failed_total: number };
  };
  readonly hedges: { total: number; per_s: number; won_by_cache_total: number; won_by_database_total: number };
  readonly reads: { total: number; per_s: number; waiting: number; by_source_per_s: Record<string, number> };
  readonly caches: Record<'l1' | 'l2', { hit_ratio: N }>;
  readonly slow_clients: { stalled_now: number; closed_total: number; merged_total: number };
  readonly shedding: { tokens: number; rate_per_s: number; burst: number; shed_total: number; shed_per_s: number };
  readonly handshakes: { ok_per_s: number; refused_total: number; refused_by_reason_total: Record<string, number> };
  readonly flags: Record<string, boolean>;
  readonly memory: { resident_bytes: N; book_keys: number; book_slots: number; redis_used_bytes?: N };
}

const RETRY_MS = 2000;
const SILENCE_MS = 8000;

export type Heard = { ops: Ops } | { away: string } | { refused: string };

/** Hears until the returned function is called; comes again by itself unless the token does not allow it. */
export function listen(session: Session, hear: (heard: Heard) => void): () => void {
  let ended = false;
  let timer = 0;
  let controller = new AbortController();

  const read = async () => {
    controller = new AbortController();
    const silent = () => controller.abort(new Error('silent'));
    let watch = window.setTimeout(silent, SILENCE_MS);
    try {
      const reply = await fetch('/v1/ops/stream', {
        headers: { authorization: `Bearer ${session.token()}` },
        cache: 'no-store',
        signal: controller.signal,
      });
      if (reply.status === 401 || reply.status === 403) {
        ended = true;
        hear({ refused: reply.status === 403 ? 'This token may not look at the gateway: it needs the scope ops.read.' : 'The token is not accepted any more.' });
        return;
      }
      if (!reply.ok || !reply.body) throw new Error(String(reply.status));
      const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(watch);
        watch = window.setTimeout(silent, SILENCE_MS);
        const events = (rest + value).split('\n\n');
        rest = events.pop()!;
        for (const event of events) {
          const data = /^data: ?(.*)$/m.exec(event)?.[1];
          if (/^event: ?ops$/m.test(event) && data) hear({ ops: JSON.parse(data) as Ops });
        }
      }
      throw new Error('ended');
    } catch {
      if (!ended) hear({ away: 'This gateway does not answer; what stands here is from before.' });
    } finally {
      clearTimeout(watch);
      if (!ended) timer = window.setTimeout(() => void read(), RETRY_MS);
    }
  };
  void read();
  return () => {
    ended = true;
    clearTimeout(timer);
    controller.abort();
  };
}
