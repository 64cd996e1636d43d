// Formats benchmark results as a table for the terminal.
import { formatRate, formatSeconds } from '@rene-js/rene/internal';
import type { BenchResult } from './measure.js';

const columns: [title: string, cell: (result: BenchResult) => string][] = [
  ['dtype', ({ dtype }) => dtype],
  ['load s', ({ loadSeconds }) => loadSeconds.toFixed(1)],
  ['first token s', ({ firstTokenSeconds }) => formatSeconds(firstTokenSeconds)],
  [
    'prefill tok/s',
    ({ batch, prompt, firstTokenSeconds }) =>
      formatRate(batch * prompt, formatSeconds(firstTokenSeconds)),
  ],
  ['decode tok/s', ({ decodeTokensPerSecond }) => decodeTokensPerSecond.toFixed(1)],
  ['weights', ({ weightBytes }) => size(weightBytes)],
  ['peak memory', ({ peakMemoryBytes }) => size(peakMemoryBytes)],
  ['read GB/s', ({ readBandwidth }) => (readBandwidth ? (readBandwidth / 1e9).toFixed(1) : '-')],
  ['share', ({ shareOfBandwidth }) => shareOfBandwidth?.toFixed(2) ?? '-'],
];

/** The setting, which is the same for all results except the dtype. */
export function benchSetting({
  machine,
  node,
  backend,
  threads,
  relaxedSimd,
  ...run
}: BenchResult): string {
  const { prompt, tokens, batch, repeat } = run;
  const simd = threads ? ` on ${count(threads, 'thread')}${relaxedSimd ? '' : ', plain SIMD'}` : '';
  return (
    `${machine}, Node ${node.replace(/^v/, '')}; backend ${backend}${simd}; ` +
    `prompt ${prompt}, ${count(tokens, 'token')} decoded, ` +
    `${batch === 1 ? '' : `batch ${batch}, `}median of ${count(repeat, 'run')}`
  );
}

/** The table, one line per result. */
export function benchTable(results: readonly BenchResult[]): string[] {
  const rows = [
    columns.map(([title]) => title),
    ...results.map((r) => columns.map(([, cell]) => cell(r))),
  ];
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: string[]) => row.map((cell, i) => cell.padStart(widths[i] ?? 0)).join('  ');
  const [head = [], ...body] = rows;
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...body.map(line)];
}

/** A legend for the table. */
export const BENCH_LEGEND = [
  'first token: time of the prefill',
  'read GB/s: memory bandwidth of this process, measured between the runs',
  'share: weights x decode / read; 1.00 is the limit, since a token reads every weight once',
];

function size(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
