// Benchmark results as a table for the terminal and as a chart.
import type { BenchResult } from './measure.js';

const columns: [title: string, cell: (result: BenchResult) => string][] = [
  ['dtype', ({ dtype }) => dtype],
  ['load s', ({ loadSeconds }) => loadSeconds?.toFixed(1) ?? '-'],
  ['first token s', ({ firstTokenSeconds }) => firstTokenSeconds.toFixed(2)],
  ['prefill tok/s', ({ prefillTokensPerSecond }) => prefillTokensPerSecond.toFixed(1)],
  ['decode tok/s', ({ decodeTokensPerSecond }) => decodeTokensPerSecond.toFixed(1)],
  ['weights GB', ({ weightBytes }) => gigabytes(weightBytes)],
  ['peak GB', ({ peakMemoryBytes }) => gigabytes(peakMemoryBytes)],
  ['read GB/s', ({ readBandwidth }) => (readBandwidth ? (readBandwidth / 1e9).toFixed(1) : '-')],
  ['share', ({ shareOfBandwidth }) => shareOfBandwidth?.toFixed(2) ?? '-'],
];

/** Lines of a table, a result a line. */
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

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(2);
}

/** An SVG: decoded tokens a second, a bar a dtype, the memory's limit as an outline behind it. */
export function benchChart(results: readonly BenchResult[], title: string): string {
  const width = 640;
  const left = 70;
  const rowHeight = 44;
  const top = 56;
  const height = top + results.length * rowHeight + 28;
  const limit = (r: BenchResult) => (r.readBandwidth ? r.readBandwidth / r.weightBytes : 0);
  const most = Math.max(...results.map((r) => Math.max(limit(r), r.decodeTokensPerSecond)));
  const scale = (value: number) => ((width - left - 130) * value) / most;
  const bars = results.map((result, i) => {
    const y = top + i * rowHeight;
    const speed = result.decodeTokensPerSecond;
    const share = result.shareOfBandwidth;
    const outline = `<rect x="${left}" y="${y}" width="${scale(limit(result)).toFixed(1)}" height="26" fill="#eef1f6" stroke="#9aa4b5"/>`;
    const bar = `<rect x="${left}" y="${y + 4}" width="${scale(speed).toFixed(1)}" height="18" fill="#2458c5"/>`;
    const text = `${speed.toFixed(1)} tok/s${share === null ? '' : `, ${Math.round(100 * share)} %`}`;
    const end = left + Math.max(scale(limit(result)), scale(speed)) + 8;
    return `${outline}${bar}<text x="${left - 10}" y="${y + 18}" text-anchor="end">${result.dtype}</text><text x="${end.toFixed(1)}" y="${y + 18}">${text}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#1f2430">
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="16" y="24" font-size="15" font-weight="600">${escapeXml(title)}</text>
<text x="16" y="43" font-size="12" fill="#5b6575">decoded tokens a second; outline: what reading the weights once a token allows</text>
${bars.join('\n')}
</svg>
`;
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
