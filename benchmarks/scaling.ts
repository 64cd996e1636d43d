// Cost of Rene 1.3B on the backend 'simd' as a function of the prompt's length, the context length, the batch
// size and the number of threads. Random weights.
//
//   node benchmarks/dist/scaling.js [--dtype int8] [--what prompt,context,batch,threads]
//        [--most 16384] [--layers 48] [--rounds 5]
//
// Measurements of a table are interleaved, so that variations of the machine affect all of them; results are
// medians. --layers 12 is one period of Rene's pattern, a quarter of its blocks: prompts, which need the head
// once, cost a quarter.
//
// A state after many tokens is constructed, not computed: recurrent states after 100 tokens, caches filled
// with random keys and values, and the position set. The cost of a token does not depend on the values.
import { fork } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, randomModel, seconds } from '@rene-js/cli/bench';
import { AttentionState, useBackend, type WeightFormat } from '@rene-js/layers';
import {
  type DecodeStep,
  kvCacheFormatOf,
  kvCacheFromBytes,
  kvCacheShapeOf,
} from '@rene-js/layers/internal';
import { simdInfo } from '@rene-js/layers/simd';
import {
  type RecurrentState,
  type ReneLMHeadModel,
  reneConfig,
  reneConfig1_3B,
} from '@rene-js/rene';

const { values } = parseArgs({
  options: {
    dtype: { type: 'string', default: 'int8' },
    what: { type: 'string', default: 'prompt,context,batch,threads' },
    most: { type: 'string', default: '16384' },
    layers: { type: 'string', default: '48' },
    rounds: { type: 'string', default: '5' },
  },
});
const most = Number(values.most);
const rounds = Number(values.rounds);
/** Tokens decoded per turn. */
const TURN = 8;

async function main(): Promise<void> {
  const what = values.what.split(',');
  const tables = { prompt: prompts, context: contexts, batch: batches };
  const unknown = what.find((name) => name !== 'threads' && !Object.hasOwn(tables, name));
  if (unknown)
    throw new Error(`--what: expected prompt, context, batch, threads; found ${unknown}`);
  if (process.send) return measureForParent();
  console.log(
    `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, node ${process.version}; ` +
      `${values.dtype}, ${values.layers} blocks`,
  );
  if (what.includes('threads')) await threads();
  const single = Object.entries(tables).filter(([name]) => what.includes(name));
  if (single.length === 0) return;
  const model = await makeModel();
  for (const [, measure] of single) await measure(model);
  model.dispose();
}

/** Prompts of increasing length, from an empty state. */
async function prompts(model: ReneLMHeadModel): Promise<void> {
  const lengths = [128, 512, 2048, 8192, 16384].filter((length) => length <= most);
  const times = lengths.map((): number[] => []);
  await readPrompt(model, 128);
  for (let round = 0; round < rounds; round++) {
    for (const [i, length] of lengths.entries()) {
      // Long prompts are measured once.
      if (round > 0 && length > 2048) continue;
      times[i]?.push(await seconds(() => readPrompt(model, length)));
    }
  }
  console.log('\nprompt tokens   seconds   tokens/s');
  lengths.forEach((length, i) => {
    const time = median(times[i] ?? []);
    console.log(`${column(length, 13)}${column(time.toFixed(2), 10)}${column(length / time, 11)}`);
  });
}

async function readPrompt(model: ReneLMHeadModel, length: number): Promise<void> {
  (await model.prefill(ids(length))).dispose();
}

/** Decoding after an increasing number of tokens. */
async function contexts(model: ReneLMHeadModel): Promise<void> {
  const marks = [100, 2048, 8192, 16384].filter((mark) => mark <= most);
  const start = await model.prefill(ids(100));
  const speeds = await decodeInTurns(
    model,
    marks.map((mark) => () => stateAfter(model, start, mark)),
  );
  start.dispose();
  console.log('\ntokens before   decoded tokens/s   against the first');
  marks.forEach((mark, i) => {
    const ratio = (speeds[i] ?? 0) / (speeds[0] ?? 1);
    console.log(`${column(mark, 13)}${column(speeds[i] ?? 0, 19)}${column(ratio.toFixed(2), 20)}`);
  });
}

/** A state as if after this many tokens; see above. */
function stateAfter(model: ReneLMHeadModel, start: RecurrentState, seen: number): RecurrentState {
  const window = model.config.attn?.slidingWindowLength ?? Number.POSITIVE_INFINITY;
  const layers = start.layers.map((layer) => {
    if (!(layer instanceof AttentionState)) return layer?.clone() ?? null;
    const format = kvCacheFormatOf(layer.k);
    const [batch, , heads, dim] = kvCacheShapeOf(layer.k);
    const shape = [batch, Math.min(window, seen), heads, dim] as const;
    const cache = () => {
      const numbers = Float32Array.from(
        { length: shape.reduce((size, axis) => size * axis, 1) },
        () => 2 * Math.random() - 1,
      );
      const bytes = new Uint8Array(numbers.buffer);
      if (format === 'f32') return kvCacheFromBytes(bytes, shape, format);
      // The upper halves: the values rounded to bf16.
      const halves = new Uint16Array(numbers.buffer).filter((_, i) => i % 2 === 1);
      return kvCacheFromBytes(new Uint8Array(halves.buffer), shape, format);
    };
    return new AttentionState(cache(), cache(), [seen]);
  });
  return start.with(layers, [seen]);
}

/** Decoding an increasing number of sequences in one step. The states of each are 120 MB. */
async function batches(model: ReneLMHeadModel): Promise<void> {
  const sizes = [1, 2, 4, 8, 16];
  const times = sizes.map((): number[] => []);
  const one = await model.prefill(ids(128));
  const step = compiled(model, Math.max(...sizes));
  for (let round = 0; round <= rounds; round++) {
    while (step.rows > 0) step.leave(step.rows - 1);
    for (const [i, size] of sizes.entries()) {
      while (step.rows < size) step.join(one.layers, 0, one.positions[0] ?? 0);
      const turn = await decodeTurn(step);
      if (round > 0) times[i]?.push(...turn); // the first one is a warm-up
    }
  }
  step.dispose();
  one.dispose();
  const speeds = sizes.map((size, i) => size / median(times[i] ?? []));
  console.log('\nbatch   decoded tokens/s in sum   against batch 1');
  sizes.forEach((size, i) => {
    const speed = speeds[i] ?? 0;
    const ratio = (speed / (speeds[0] ?? 1)).toFixed(2);
    console.log(`${column(size, 5)}${column(speed, 26)}${column(ratio, 18)}`);
  });
}

/** Tokens per second of the whole batch, from each state, with compiled steps as in generation. */
async function decodeInTurns(
  model: ReneLMHeadModel,
  states: readonly (() => RecurrentState)[],
): Promise<number[]> {
  const steps = states.map((make) => {
    const state = make();
    const step = compiled(model, state.batch);
    for (const [row, position] of state.positions.entries()) step.join(state.layers, row, position);
    state.dispose();
    return step;
  });
  const times = steps.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, step] of steps.entries()) {
      const turn = await decodeTurn(step);
      if (round > 0) times[i]?.push(...turn); // the first one is a warm-up
    }
  }
  const speeds = steps.map((step, i) => step.rows / median(times[i] ?? []));
  for (const step of steps) step.dispose();
  return speeds;
}

function compiled(model: ReneLMHeadModel, batch: number): DecodeStep {
  const step = model.compileStep(batch);
  if (!step) throw new Error(`the backend '${model.backend}' compiles no steps`);
  return step;
}

/** Seconds per token of a turn. */
async function decodeTurn(step: DecodeStep): Promise<number[]> {
  const times: number[] = [];
  for (let token = 0; token < TURN; token++) {
    times.push(await seconds(() => decode(step, token)));
  }
  return times;
}

async function decode(step: DecodeStep, token: number): Promise<void> {
  await step.logits(Array.from({ length: step.rows }, (_, row) => 300 + 17 * row + token));
}

interface Speeds {
  prefill: number;
  decode: number;
}

/** Each number of threads in its own process, interleaved. */
async function threads(): Promise<void> {
  const counts = [1, 2, 4, 8, 16, 32].filter((count) => count <= availableParallelism());
  const found = counts.map((): Speeds[] => []);
  for (let round = 0; round < Math.min(rounds, 2); round++) {
    for (const [i, count] of counts.entries()) found[i]?.push(await measureInChild(count));
  }
  console.log('\nthreads   prefill tokens/s   decoded tokens/s');
  counts.forEach((count, i) => {
    const prefill = median(found[i]?.map((speeds) => speeds.prefill) ?? []);
    const decoded = median(found[i]?.map((speeds) => speeds.decode) ?? []);
    console.log(`${column(count, 7)}${column(prefill, 19)}${column(decoded, 19)}`);
  });
}

function measureInChild(count: number): Promise<Speeds> {
  const env = { ...process.env, RENE_THREADS: String(count) };
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), process.argv.slice(2), { env });
    // measureForParent sends this message.
    child.on('message', (message) => resolve(message as Speeds));
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`${count} threads: ended with ${code}`)));
  });
}

async function measureForParent(): Promise<void> {
  const model = await makeModel();
  await readPrompt(model, 128);
  const prefill = 256 / (await seconds(() => readPrompt(model, 256)));
  const state = await model.prefill(ids(100));
  const [decoded = 0] = await decodeInTurns(model, [() => state]);
  if (simdInfo().threads !== Number(process.env.RENE_THREADS)) throw new Error('other threads');
  const speeds: Speeds = { prefill, decode: decoded };
  process.send?.(speeds, () => process.exit(0));
}

async function makeModel(): Promise<ReneLMHeadModel> {
  const formats: readonly WeightFormat[] = ['f32', 'bf16', 'int8', 'int4'];
  const format = formats.find((name) => name === values.dtype);
  if (!format) throw new Error(`--dtype: expected ${formats.join(', ')}, found ${values.dtype}`);
  await useBackend('simd');
  const nLayer = Number(values.layers);
  const within = (i: number) => i < nLayer;
  const { attn, attnLayerIdx, mlpLayerIdx } = reneConfig1_3B;
  const config = reneConfig({
    nLayer,
    attn,
    attnLayerIdx: attnLayerIdx.filter(within),
    mlpLayerIdx: mlpLayerIdx.filter(within),
  });
  return randomModel(config, { format });
}

function ids(count: number): number[] {
  return Array.from({ length: count }, (_, i) => (i * 7919 + 300) % 50000);
}

function column(value: number | string, width: number): string {
  const text = typeof value === 'string' || Number.isInteger(value) ? `${value}` : value.toFixed(1);
  return text.padStart(width);
}

await main();
