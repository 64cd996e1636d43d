// The loss curve of a run: a CSV with one line per step, and an SVG.
import { appendFile, readFile } from 'node:fs/promises';
import { fileExists, writeFileAtomically } from '../checkpoint/node_files.js';
import { fileError } from '../file_errors.js';

export interface CurvePoint {
  step: number;
  tokens: number;
  /** Nats per token. */
  loss: number;
  learningRate: number;
  gradientNorm: number;
  /** Held-out bits per byte, if measured after this step. */
  bitsPerByte?: number | undefined;
  seconds: number;
}

const HEADER = 'step,tokens,loss,learning_rate,gradient_norm,held_out_bits_per_byte,seconds\n';

function curveFile(dir: string): string {
  return `${dir}/loss.csv`;
}

/** Opens the curve of a run at `steps`: later and incomplete lines are dropped. */
export async function openLossCurve(dir: string, steps: number): Promise<LossCurve> {
  const path = curveFile(dir);
  const text = steps > 0 && (await fileExists(path)) ? await readFile(path, 'utf8') : HEADER;
  const points = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .slice(1)
    .filter((line) => line !== '')
    .map(parsePoint)
    .filter((point) => point.step <= steps);
  const kept = HEADER + points.map(formatPoint).join('');
  await writeFileAtomically(path, (put) => put(new TextEncoder().encode(kept)));
  return new LossCurve(dir, points);
}

export class LossCurve {
  constructor(
    private readonly dir: string,
    private readonly points: CurvePoint[],
  ) {}

  async add(point: CurvePoint): Promise<void> {
    this.points.push(point);
    const path = curveFile(this.dir);
    await appendFile(path, formatPoint(point)).catch((error: unknown) => {
      throw fileError(path, 'written', error);
    });
  }

  /** Draws loss.svg. */
  async draw(): Promise<void> {
    const svg = new TextEncoder().encode(drawLossCurve(this.points));
    await writeFileAtomically(`${this.dir}/loss.svg`, (put) => put(svg));
  }
}

function formatPoint(point: CurvePoint): string {
  const { step, tokens, loss, learningRate, gradientNorm, bitsPerByte, seconds } = point;
  const rounded = [loss.toFixed(4), learningRate.toPrecision(4), gradientNorm.toPrecision(4)];
  return `${[step, tokens, ...rounded, bitsPerByte?.toFixed(4) ?? '', seconds.toFixed(1)].join()}\n`;
}

function parsePoint(line: string): CurvePoint {
  const fields = line.split(',');
  const [
    step = 0,
    tokens = 0,
    loss = 0,
    learningRate = 0,
    gradientNorm = 0,
    bits = 0,
    seconds = 0,
  ] = fields.map(Number);
  const bitsPerByte = fields[5] ? bits : undefined;
  return { step, tokens, loss, learningRate, gradientNorm, bitsPerByte, seconds };
}

const WIDTH = 720;
const HEIGHT = 360;
const MARGIN = 48;

/** Training loss (bits per token, smoothed) and held-out bits per byte over steps, with one axis each. */
function drawLossCurve(points: readonly CurvePoint[]): string {
  const lastStep = Math.max(1, points.at(-1)?.step ?? 1);
  const x = (step: number) => MARGIN + ((WIDTH - 2 * MARGIN) * step) / lastStep;
  const training = thinned(smoothed(points));
  const heldOut = points.flatMap(({ step, bitsPerByte }) =>
    bitsPerByte === undefined ? [] : [{ step, value: bitsPerByte }],
  );
  const left = axis(training.map(({ value }) => value));
  const right = axis(heldOut.map(({ value }) => value));
  const line = (curve: Sample[], { y }: Axis, color: string) => {
    const at = curve.map(({ step, value }) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
    return `<polyline fill="none" stroke="${color}" stroke-width="1.5" points="${at.join(' ')}"/>`;
  };
  const dots = heldOut.map(
    ({ step, value }) =>
      `<circle cx="${x(step).toFixed(1)}" cy="${right.y(value).toFixed(1)}" r="3" fill="${RED}"/>`,
  );
  const text = (at: [number, number], anchor: string, content: string, color = '#555') =>
    `<text x="${at[0]}" y="${at[1].toFixed(1)}" text-anchor="${anchor}" fill="${color}">${content}</text>`;
  const ticks = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => {
    const step = Math.round(lastStep * share);
    return [
      text([x(step), HEIGHT - MARGIN + 18], 'middle', String(step)),
      text([MARGIN - 6, left.at(share) + 4], 'end', left.label(share), BLUE),
      text([WIDTH - MARGIN + 6, right.at(share) + 4], 'start', right.label(share), RED),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    ...ticks,
    text([MARGIN, 24], 'start', 'training loss, bits a token', BLUE),
    text([WIDTH - MARGIN, 24], 'end', 'held out, bits a byte', RED),
    text([WIDTH / 2, HEIGHT - 8], 'middle', 'step'),
    line(training, left, BLUE),
    line(heldOut, right, RED),
    ...dots,
    '</svg>',
    '',
  ].join('\n');
}

const BLUE = '#2563a8';
const RED = '#b3382c';

interface Sample {
  step: number;
  value: number;
}

interface Axis {
  y(value: number): number;
  at(share: number): number;
  label(share: number): string;
}

function axis(values: readonly number[]): Axis {
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const range = high - low || 1;
  const at = (share: number) => HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share;
  return {
    at,
    y: (value) => at((value - low) / range),
    label: (share) => (values.length === 0 ? '' : (low + range * share).toFixed(2)),
  };
}

function smoothed(points: readonly CurvePoint[]): Sample[] {
  let mean: number | undefined;
  return points.map(({ step, loss }) => {
    const bits = loss / Math.LN2;
    mean = mean === undefined ? bits : 0.95 * mean + 0.05 * bits;
    return { step, value: mean };
  });
}

function thinned(samples: readonly Sample[]): Sample[] {
  const every = Math.ceil(samples.length / 400);
  return samples.filter((_, i) => i % every === 0 || i === samples.length - 1);
}
