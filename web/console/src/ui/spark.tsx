// SPDX-License-Identifier: Apache-2.0
// A balance's last changes as a line of steps: a balance stays until it changes. Decoration; the figures stand beside it.
import type { Point } from '../rows.ts';

const WIDTH = 88;
const HEIGHT = 22;
const POINTS = 40;

export function Spark({ points }: { points: readonly Point[] }) {
  const last = points.slice(-POINTS);
  if (last.length < 2) return <svg class="spark" width={WIDTH} height={HEIGHT} aria-hidden="true" />;
  let low = last[0]!.minor;
  let high = low;
  for (const { minor } of last) {
    if (minor < low) low = minor;
    if (minor > high) high = minor;
  }
  const range = Number(high - low) || 1; // a drawing may round
  const x = (i: number) => ((i / (last.length - 1)) * (WIDTH - 4) + 2).toFixed(1);
  const y = (minor: bigint) => (HEIGHT - 3 - (Number(minor - low) / range) * (HEIGHT - 6)).toFixed(1);
  const path = last.map(({ minor }, i) => (i === 0 ? `M${x(0)} ${y(minor)}` : `H${x(i)}V${y(minor)}`)).join('');
  return (
    <svg class="spark" width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <path d={path} />
      <circle cx={x(last.length - 1)} cy={y(last.at(-1)!.minor)} r="2" />
    </svg>
  );
}
