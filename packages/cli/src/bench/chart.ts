// Draws benchmark results: decode speed per dtype, with the limit that memory bandwidth sets.
import type { BenchResult } from './measure.js';
import { benchSetting } from './report.js';

const WIDTH = 720;
const LEFT = 64;
/** Room for the label of the longest bar. */
const RIGHT = 150;
const TOP = 92;
const ROW = 46;
const BAR = '#2458c5';
const LIMIT = '#e3e8f2';
const GREY = '#5b6575';

/** An SVG image. */
export function benchChart(results: readonly BenchResult[], title: string): string {
  const height = TOP + results.length * ROW + 14;
  const most = Math.max(...results.map((r) => Math.max(limitOf(r), r.decodeTokensPerSecond)));
  const x = (value: number) => ((WIDTH - LEFT - RIGHT) * value) / most;
  const [first] = results;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#1f2430">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="16" y="24" font-size="15" font-weight="600">${escapeXml(title)}: decoded tokens a second</text>
<text x="16" y="43" font-size="11" fill="${GREY}">${first ? escapeXml(benchSetting(first)) : ''}</text>
${legend()}
${results.map((result, i) => drawRow(result, TOP + i * ROW, x)).join('\n')}
</svg>
`;
}

/** Tokens per second if decoding did nothing but read every weight once. 0 if unknown. */
function limitOf({ readBandwidth, weightBytes, shareOfBandwidth }: BenchResult): number {
  return readBandwidth && shareOfBandwidth !== null ? readBandwidth / weightBytes : 0;
}

function drawRow(result: BenchResult, y: number, x: (value: number) => number): string {
  const { dtype, decodeTokensPerSecond: speed, shareOfBandwidth: share } = result;
  const limit = limitOf(result);
  const end = LEFT + x(Math.max(limit, speed)) + 8;
  const parts = [
    `<text x="${LEFT - 10}" y="${y + 20}" text-anchor="end">${dtype}</text>`,
    rectangle(y + 8, x(speed), 16, BAR),
    `<text x="${end.toFixed(1)}" y="${y + 15}" font-weight="600">${speed.toFixed(1)}</text>`,
  ];
  if (share === null) return parts.join('');
  const text = `${Math.round(100 * share)} % of ${limit.toFixed(1)}`;
  parts.splice(1, 0, rectangle(y, x(limit), 32, LIMIT));
  parts.push(`<text x="${end.toFixed(1)}" y="${y + 30}" fill="${GREY}">${text}</text>`);
  return parts.join('');
}

function rectangle(y: number, width: number, height: number, fill: string): string {
  return `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${height}" fill="${fill}"/>`;
}

function legend(): string {
  return [
    `<rect x="${LEFT}" y="59" width="14" height="12" fill="${BAR}"/>`,
    `<text x="${LEFT + 20}" y="70">measured</text>`,
    `<rect x="${LEFT + 100}" y="57" width="14" height="16" fill="${LIMIT}"/>`,
    `<text x="${LEFT + 120}" y="70">limit: memory bandwidth / weight bytes</text>`,
  ].join('\n');
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
