// SPDX-License-Identifier: Apache-2.0
// What the gateway page shows as tables: latencies, partitions, who is connected and who was refused, flags.
import { count, seconds } from './figures.tsx';
import type { Ops } from './ops.ts';

const MEASURED: readonly [keyof Ops['latency'], string][] = [
  ['handoff', 'Record to its subscribers'],
  ['read', 'Reads that waited'],
  ['redis', 'Redis'],
  ['origin', 'Origin'],
];

export function Latencies({ ops }: { ops: Ops }) {
  return (
    <section class="card">
      <h2>Latency, last ten seconds</h2>
      <table class="small">
        <thead>
          <tr>
            <th scope="col">Of</th>
            <th scope="col">Count</th>
            <th scope="col">p50</th>
            <th scope="col">p99</th>
            <th scope="col">Most</th>
          </tr>
        </thead>
        <tbody>
          {MEASURED.map(([name, words]) => {
            const one = ops.latency[name];
            return (
              <tr key={name}>
                <th scope="row">{words}</th>
                <td>{count(one.count)}</td>
                <td>{seconds(one.p50_s)}</td>
                <td>{seconds(one.p99_s)}</td>
                <td>{seconds(one.max_s)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

export function Partitions({ ops }: { ops: Ops }) {
  const { partitions, partition_count: all } = ops.kafka;
  return (
    <section class="card">
      <h2>Kafka partitions</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Kafka partitions">
        <table class="small">
          <thead>
            <tr>
              <th scope="col">Partition</th>
              <th scope="col">Records behind</th>
              <th scope="col">Seconds behind</th>
            </tr>
          </thead>
          <tbody>
            {partitions.map((one) => (
              <tr key={one.partition} data-tone={one.lag_records > 0 ? 'warn' : undefined}>
                <th scope="row">{one.partition}</th>
                <td>{count(one.lag_records)}</td>
                <td>{seconds(one.lag_s)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {all > partitions.length && <p class="soft">Those that are most behind, of {count(all)}.</p>}
    </section>
  );
}

const DIALECTS: Record<string, string> = {
  native: 'Native',
  signalr: 'SignalR',
  signalr_sse: 'SignalR, event stream',
  app: 'App frames',
  sse: 'Event stream',
  undecided: 'Not said yet',
};

export function Refusals({ ops }: { ops: Ops }) {
  const refused = Object.entries(ops.handshakes.refused_by_reason_total).filter(([, n]) => n > 0);
  return (
    <section class="card">
      <h2>Who is connected</h2>
      <table class="small">
        <tbody>
          {Object.entries(ops.connections.by_dialect).map(([name, n]) => (
            <tr key={name}>
              <th scope="row">{DIALECTS[name] ?? name}</th>
              <td>{count(n)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h2>Who was refused</h2>
      {refused.length === 0 ? (
        <p class="soft">Nobody since the start.</p>
      ) : (
        <table class="small">
          <tbody>
            {refused.map(([reason, n]) => (
              <tr key={reason}>
                <th scope="row">{reason}</th>
                <td>{count(n)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

export function Flags({ ops }: { ops: Ops }) {
  return (
    <section class="card">
      <h2>Flags</h2>
      <ul class="flags">
        {Object.entries(ops.flags).map(([name, on]) => (
          <li key={name} data-tone={on ? 'good' : 'warn'}>
            <span class="pill">{on ? 'on' : 'off'}</span> {name}
          </li>
        ))}
      </ul>
      <p class="soft">They are changed at the admin port.</p>
    </section>
  );
}
