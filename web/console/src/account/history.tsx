// SPDX-License-Identifier: Apache-2.0
// A balance over this session, as a line.
import { decimalText } from '@balance-gateway/client';
import { useMemo } from 'preact/hooks';
import type { Point } from '../rows.ts';
import { Chart } from '../ui/chart.tsx';

const short = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 2 });

/** The line of what this session saw. A drawing may round; the table below does not. */
export function History({ points, currency }: { points: readonly Point[]; currency: string }) {
  const data = useMemo(
    () => [points.map(({ at }) => at / 1000), points.map(({ minor }) => Number(decimalText(minor, currency)))] as [number[], number[]],
    [points, currency],
  );
  if (points.length < 2) return <p class="soft">Its first change will begin a line here.</p>;
  return <Chart label={`Balance, ${currency}`} lines={[{ label: currency, tone: 'brand', steps: true }]} data={data} format={(value) => short.format(value)} />;
}
