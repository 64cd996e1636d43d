// Writes folders of reference values for models with random weights, in the format of goldens/README.md:
// config.json, model.safetensors, golden.safetensors, generate.json, grads.safetensors.
import { join } from 'node:path';
import { parseConfig, type ReneConfig } from '@rene-js/rene';
import { modelParameters } from '@rene-js/rene/internal';
import seedrandom from 'seedrandom';
import { type Block, writeJson, writeTensors } from './files.js';
import { argmax, at, range } from './numbers.js';
import { ReferenceRow, referenceLoss, type Step, type Weights } from './reference_model.js';

/** Tokens decoded after the prompt. */
const DECODED = 24;
/** A greedy choice with a smaller margin may differ in float32. */
const LEAST_GAP = 3e-4;

export interface FolderOptions {
  /** config.json. */
  config: Record<string, unknown>;
  batch: number;
  /** Tokens of the prompt. */
  length: number;
  seed: string;
  /** Also write generate.json: several generations, each of which reads the prompt again. Default: true. */
  generate?: boolean;
  /** Also write grads.safetensors, by finite differences. Only for the smallest models. */
  gradients?: boolean;
}

/** Writes a folder. Draws new weights until no greedy choice is a near tie. */
export async function makeGoldenFolder(dir: string, options: FolderOptions): Promise<void> {
  const config = parseConfig(options.config);
  for (let draw = 0; draw < 50; draw++) {
    const random = seedrandom.alea(`${options.seed}:${draw}`);
    const weights = randomWeights(config, random);
    const prompt = randomIds(options.batch, options.length, config.vocabSize, random);
    const rows = prompt.map((ids) => readPrompt(config, weights, ids));
    const greedy = rows.map((row) => continueGreedily(row, DECODED));
    const eos = greedy[0]?.ids[8] ?? 0;
    const cases = options.generate === false ? [] : generateCases(rows, eos);
    const gap = Math.min(...greedy.map((row) => row.gap), ...cases.map((one) => one.gap));
    if (gap < LEAST_GAP) continue;

    await writeJson(join(dir, 'config.json'), options.config);
    await writeTensors(join(dir, 'model.safetensors'), modelBlocks(config, weights));
    const decode = randomIds(options.batch, DECODED, config.vocabSize, random);
    const golden = goldenBlocks(config, rows, decode);
    golden.set('greedy.ids', idsBlock(greedy.map(({ ids }) => ids)));
    await writeTensors(join(dir, 'golden.safetensors'), golden);
    if (cases.length > 0) {
      const written = cases.map(({ gap: _, ...one }) => one);
      const file = { prompt, min_top2_gap: gap, cases: written };
      await writeJson(join(dir, 'generate.json'), file);
    }
    if (options.gradients) {
      const grads = gradientBlocks(config, weights, prompt);
      await writeTensors(join(dir, 'grads.safetensors'), grads);
    }
    return;
  }
  throw new Error(`no draw of '${options.seed}' has clear greedy choices`);
}

/** A sequence after its prompt, and the results. */
interface Prefilled {
  ids: number[];
  reader: ReferenceRow;
  steps: Step[];
}

function readPrompt(config: ReneConfig, weights: Weights, ids: number[]): Prefilled {
  const reader = new ReferenceRow(config, weights);
  return { ids, reader, steps: ids.map((id) => reader.step(id)) };
}

/** Values far from the initial ones, so that every weight, bias and norm affects the result. */
export function randomWeights(config: ReneConfig, random: () => number): Map<string, Float64Array> {
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const sampler = (name: string, shape: readonly number[]): (() => number) => {
    if (/norm\w*\.weight$/.test(name)) return () => 1 + 0.3 * normal();
    if (name.endsWith('A_log')) return () => Math.log(0.5 + 7.5 * random());
    if (name.endsWith('dt_bias')) return () => -3 + 4 * random();
    if (name.endsWith('.D')) return normal;
    if (name.endsWith('bias')) return () => 0.3 * normal();
    if (name.includes('embedding') || name.includes('conv1d')) return () => 0.5 * normal();
    return () => normal() / Math.sqrt(shape[1] ?? 1);
  };
  return new Map(
    modelParameters(config).map(({ name, shape }) => {
      const size = shape.reduce((product, axis) => product * axis, 1);
      // Rounded to float32, as a file stores them.
      return [name, Float64Array.from(Float32Array.from({ length: size }, sampler(name, shape)))];
    }),
  );
}

function randomIds(rows: number, length: number, below: number, random: () => number): number[][] {
  return range(rows).map(() => range(length).map(() => Math.floor(random() * below)));
}

/** The greedy tokens, and the smallest margin between the two best logits. */
function continueGreedily(
  { ids: prompt, reader: prefilled, steps }: Prefilled,
  count: number,
  penalty = 1,
): { ids: number[]; gap: number } {
  const reader = prefilled.clone();
  let logits = steps.at(-1)?.logits ?? [];
  const ids: number[] = [];
  let gap = Number.POSITIVE_INFINITY;
  while (ids.length < count) {
    const seen = new Set([...prompt, ...ids]);
    const scores = logits.map((value, id) => {
      if (!seen.has(id)) return value;
      return value < 0 ? value * penalty : value / penalty;
    });
    const best = argmax(scores);
    const others = scores.filter((_, id) => id !== best);
    gap = Math.min(gap, at(scores, best) - Math.max(...others));
    ids.push(best);
    logits = reader.step(best).logits;
  }
  return { ids, gap };
}

interface GenerateCase {
  rows: number;
  args: { max_length: number; eos_token_id?: number; repetition_penalty?: number };
  sequences: number[][];
  gap: number;
}

/**
 * The cases of the original's goldens too: max_length includes the prompt, and at least one token is
 * generated.
 */
function generateCases(prompts: readonly Prefilled[], eos: number): GenerateCase[] {
  const length = prompts[0]?.ids.length ?? 0;
  const full = length + DECODED;
  const calls: Pick<GenerateCase, 'rows' | 'args'>[] = [
    { rows: prompts.length, args: { max_length: full } },
    { rows: prompts.length, args: { max_length: length } },
    { rows: 1, args: { max_length: full, eos_token_id: eos } },
    { rows: prompts.length, args: { max_length: length + 12, repetition_penalty: 1.3 } },
  ];
  return calls.map(({ rows, args }) => {
    const count = Math.max(1, args.max_length - length);
    const parts = prompts
      .slice(0, rows)
      .map((row) => continueGreedily(row, count, args.repetition_penalty));
    // With one row, the first eos ends the sequence.
    const end = args.eos_token_id === undefined ? -1 : (parts[0]?.ids.indexOf(eos) ?? -1);
    const sequences = parts.map(({ ids }, row) => [
      ...(prompts[row]?.ids ?? []),
      ...(end < 0 ? ids : ids.slice(0, end + 1)),
    ]);
    return { rows, args, sequences, gap: Math.min(...parts.map(({ gap }) => gap)) };
  });
}

function modelBlocks(config: ReneConfig, weights: Weights): Map<string, Block> {
  return new Map(
    modelParameters(config).map(({ name, shape }) => [
      name,
      { shape: [...shape], values: weights.get(name) ?? [] },
    ]),
  );
}

function goldenBlocks(
  config: ReneConfig,
  rows: readonly Prefilled[],
  decode: number[][],
): Map<string, Block> {
  const blocks = new Map([['input_ids', idsBlock(rows.map(({ ids }) => ids))]]);
  const prefill = rows.map(({ steps }) => steps);
  for (const name of prefill[0]?.[0]?.hidden.keys() ?? []) {
    const hidden = prefill.map((steps) => steps.map((step) => step.hidden.get(name) ?? []));
    blocks.set(`hidden.${name}`, stacked(hidden));
  }
  blocks.set('logits', stacked(prefill.map((steps) => steps.map((step) => step.logits))));
  const readers = rows.map(({ reader }) => reader);
  addStates('prefill', config, readers, blocks);
  const decoded = readers.map((reader, row) => (decode[row] ?? []).map((id) => reader.step(id)));
  blocks.set('decode.input_ids', idsBlock(decode));
  blocks.set('decode.logits', stacked(decoded.map((steps) => steps.map((step) => step.logits))));
  addStates('after_decode', config, readers, blocks);
  return blocks;
}

function addStates(
  when: string,
  config: ReneConfig,
  readers: readonly ReferenceRow[],
  blocks: Map<string, Block>,
): void {
  const { dSsm, dConv, headDim, dState } = config.ssm;
  const batch = readers.length;
  const memories = (layer: number) => readers.map(({ memories }) => memories[layer]);
  readers[0]?.memories.forEach((first, i) => {
    if (first.kind === 'ssd') {
      const rows = memories(i).filter((memory) => memory?.kind === 'ssd');
      const channels = first.conv[0]?.length ?? 0;
      blocks.set(`${when}.conv_state.${i}`, {
        shape: [batch, channels, dConv],
        values: rows.flatMap(({ conv }) =>
          range(channels).flatMap((channel) => conv.map((x) => at(x, channel))),
        ),
      });
      blocks.set(`${when}.ssm_state.${i}`, {
        shape: [batch, dSsm / headDim, headDim, dState],
        values: rows.flatMap(({ ssm }) => [...ssm]),
      });
    } else if (first.kind === 'attn') {
      const rows = memories(i).filter((memory) => memory?.kind === 'attn');
      const { numHeadsKv = 0, headDim: dim = 0 } = config.attn ?? {};
      const shape = [batch, first.k.length, numHeadsKv, dim];
      blocks.set(`${when}.k.${i}`, { shape, values: rows.flatMap(({ k }) => k.flat()) });
      blocks.set(`${when}.v.${i}`, { shape, values: rows.flatMap(({ v }) => v.flat()) });
    }
  });
}

/** The loss and its gradients by central differences; about 1e-9 accurate in float64. */
function gradientBlocks(
  config: ReneConfig,
  weights: Weights,
  prompt: number[][],
): Map<string, Block> {
  const step = 1e-5;
  const blocks = new Map<string, Block>([
    ['loss', { shape: [], values: [referenceLoss(config, weights, prompt)] }],
  ]);
  for (const { name, shape } of modelParameters(config)) {
    const values = weights.get(name) ?? new Float64Array();
    const gradient = Float64Array.from(values, (value, i) => {
      values[i] = value + step;
      const above = referenceLoss(config, weights, prompt);
      values[i] = value - step;
      const below = referenceLoss(config, weights, prompt);
      values[i] = value;
      return (above - below) / (2 * step);
    });
    blocks.set(`grad.${name}`, { shape: [...shape], values: gradient });
  }
  return blocks;
}

function idsBlock(rows: number[][]): Block {
  return { shape: [rows.length, rows[0]?.length ?? 0], values: rows.flat(), dtype: 'I32' };
}

/** Rows of tokens as (B, L, channels). */
function stacked(rows: number[][][]): Block {
  const [first = []] = rows;
  return { shape: [rows.length, first.length, first[0]?.length ?? 0], values: rows.flat(2) };
}
