// SPDX-License-Identifier: Apache-2.0
// Series over time, drawn by uPlot in the colours of the page. What it shows stands beside it in words too.
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { store, useStore } from '../store.ts';
import { clock } from '../words.ts';
import { theme } from './theme.tsx';

export interface Line {
  readonly label: string;
  readonly tone: 'brand' | 'good' | 'warn' | 'bad';
  readonly steps?: boolean;
}

interface Props {
  readonly label: string;
  readonly lines: readonly Line[];
  readonly data: uPlot.AlignedData;
  readonly height?: number;
  readonly format?: (value: number) => string;
}

const systemDark = matchMedia('(prefers-color-scheme: dark)');
const dark = store(systemDark.matches);
systemDark.addEventListener('change', () => dark.set(systemDark.matches));

const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function options(props: Props, width: number): uPlot.Options {
  const soft = colour('soft');
  const grid = { stroke: colour('line'), width: 1 };
  const font = '12px system-ui, sans-serif';
  const steps = uPlot.paths.stepped!({ align: 1 });
  return {
    width,
    height: props.height ?? 160,
    cursor: { y: false },
    legend: { show: false },
    scales: { x: { time: true } },
    axes: [
      { stroke: soft, grid, ticks: { show: false }, font, space: 90, size: 32, values: (_, marks) => marks.map((mark) => clock(mark * 1000)) },
      { stroke: soft, grid, ticks: { show: false }, font, size: 72, values: (_, marks) => marks.map((mark) => (props.format ?? String)(mark)) },
    ],
    series: [
      {},
      ...props.lines.map((line) => ({
        label: line.label,
        stroke: colour(line.tone),
        width: 1.75,
        points: { show: false },
        ...(line.steps ? { paths: steps } : {}),
      })),
    ],
  };
}

export function Chart(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const colours = `${useStore(theme)} ${useStore(dark)}`;
  useEffect(() => {
    const element = box.current!;
    plot.current = new uPlot(options(props, element.clientWidth || 300), props.data, element);
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: props.height ?? 160 }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [colours, props.height]);
  useEffect(() => plot.current?.setData(props.data), [props.data]);
  return (
    <figure class="chart">
      <figcaption>
        {props.label}
        {props.lines.length > 1 && (
          <span class="legend">
            {props.lines.map((line) => (
              <span key={line.label} data-line={line.tone}>
                {line.label}
              </span>
            ))}
          </span>
        )}
      </figcaption>
      <div ref={box} role="img" aria-label={props.label} />
    </figure>
  );
}
