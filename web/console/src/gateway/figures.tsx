// SPDX-License-Identifier: Apache-2.0
// Figures as people read them. What is not known is a dash.
const whole = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const one = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

type N = number | null | undefined;
const none = (value: N): value is null | undefined => value === null || value === undefined || Number.isNaN(value);

export const count = (value: N) => (none(value) ? '—' : value >= 100_000 ? compact.format(value) : whole.format(Math.round(value)));
export const rate = (value: N) => (none(value) ? '—' : `${value >= 100 ? count(value) : one.format(value)}/s`);
/** "1 session", "2 sessions". */
export const some = (value: number, one: string) => `${count(value)} ${one}${value === 1 ? '' : 's'}`;
export const percent = (value: N) => (none(value) ? '—' : `${one.format(value * 100)} %`);

export function bytes(value: N): string {
  if (none(value)) return '—';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const at = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
  return `${one.format(value / 1024 ** at)} ${units[at]}`;
}

export function seconds(value: N): string {
  if (none(value)) return '—';
  if (value > 0 && value < 0.001) return `${whole.format(Math.round(value * 1e6))} µs`;
  return value > 0 && value < 1 ? `${one.format(value * 1000)} ms` : `${one.format(value)} s`;
}

export function duration(value: N): string {
  if (none(value)) return '—';
  if (value < 60) return seconds(value);
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export type TileTone = 'good' | 'warn' | 'bad' | 'soft' | undefined;

export function Tile({ name, value, detail, tone }: { name: string; value: string; detail: string; tone?: TileTone }) {
  return (
    <div class="tile" data-tone={tone}>
      <h3>{name}</h3>
      <p class="value">{value}</p>
      <p class="detail">{detail}</p>
    </div>
  );
}
