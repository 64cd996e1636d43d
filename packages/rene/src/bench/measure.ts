// Measures one model at one dtype: load, prefill, decode, memory, and the limit that memory sets.
import {
  initializers,
  makeParameters,
  type ParameterSpec,
  type StoredMatrix,
  type WeightFormat,
} from '@rene-js/layers';
import { measureReadBandwidth, simdInfo } from '@rene-js/layers/simd';
import seedrandom from 'seedrandom';
import { modelParameters } from '../architecture.js';
import type { ReneConfig } from '../config.js';
import { ReneLMHeadModel } from '../model.js';
import { checkpointBytes } from './checkpoint_bytes.js';

export interface BenchOptions {
  /** Tokens of the prompt. */
  prompt: number;
  /** Decoded tokens whose median time counts. */
  tokens: number;
  batch: number;
}

export interface BenchResult {
  backend: string;
  dtype: WeightFormat;
  parameters: number;
  threads: number | null;
  relaxedSimd: boolean | null;
  /** From nothing to a model in memory; null for random weights, which have no file. */
  loadSeconds: number | null;
  /** Of the whole prompt; the first token comes right after. */
  firstTokenSeconds: number;
  prefillTokensPerSecond: number;
  /** Of all rows of the batch together, from the median time of a step. */
  decodeTokensPerSecond: number;
  peakMemoryBytes: number;
  /** What a decoded token reads once: every matrix, as a checkpoint would hold it. */
  weightBytes: number;
  /** Bytes a second that the same process reads memory with; null where the backend cannot tell. */
  readBandwidth: number | null;
  /** Share of that bandwidth that decoding one row reaches. */
  shareOfBandwidth: number | null;
}

/** Runs the benchmark on a model that is loaded already. */
export async function measure(
  model: ReneLMHeadModel,
  dtype: WeightFormat,
  loadSeconds: number | null,
  { prompt, tokens, batch }: BenchOptions,
): Promise<BenchResult> {
  const { config } = model;
  const simd = model.backend === 'simd';
  const ids = Array.from({ length: prompt }, (_, i) => (i * 7 + 11) % config.vocabSize);
  const rows = Array.from({ length: batch }, () => ids);

  await warmUp(model, batch);
  const bandwidths = simd ? [measureReadBandwidth(PROBE_BYTES, 3)] : [];
  const state = model.initialState(batch);
  const firstTokenSeconds = await seconds(() => step(model, rows, state));
  const times: number[] = [];
  for (let i = 0; i < tokens; i++) {
    const next = rows.map((_, row) => [(i * 13 + row) % config.vocabSize]);
    times.push(await seconds(() => step(model, next, state)));
    // The limit moves on a shared machine: look at it in between, not before and after alone.
    if (simd && i % 16 === 15) bandwidths.push(measureReadBandwidth(PROBE_BYTES, 1));
  }
  state.dispose();

  const decodeTokensPerSecond = batch / median(times);
  const weightBytes = checkpointBytes(config, dtype);
  const readBandwidth = simd ? median(bandwidths) : null;
  const info = simd ? simdInfo() : null;
  return {
    backend: model.backend,
    dtype,
    parameters: modelParameters(config).reduce((sum, spec) => sum + sizeOf(spec), 0),
    threads: info?.threads ?? null,
    relaxedSimd: info?.relaxedSimd ?? null,
    loadSeconds,
    firstTokenSeconds,
    prefillTokensPerSecond: (batch * prompt) / firstTokenSeconds,
    decodeTokensPerSecond,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    weightBytes,
    readBandwidth,
    shareOfBandwidth:
      readBandwidth && batch === 1 ? (decodeTokensPerSecond * weightBytes) / readBandwidth : null,
  };
}

/** Well beyond the caches; beside 2.6 GB of weights it still fits in the kernels' 4 GiB. */
const PROBE_BYTES = 512 << 20;

async function warmUp(model: ReneLMHeadModel, batch: number): Promise<void> {
  const state = model.initialState(batch);
  const rows = Array.from({ length: batch }, () => [1, 2, 3]);
  await step(model, rows, state);
  for (let i = 0; i < 4; i++) {
    await step(
      model,
      rows.map(() => [i]),
      state,
    );
  }
  state.dispose();
}

async function step(
  model: ReneLMHeadModel,
  ids: number[][],
  state: ReturnType<ReneLMHeadModel['initialState']>,
): Promise<void> {
  const logits = model.forward(ids, { state, logitsToKeep: 1 });
  await logits.data();
  logits.dispose();
}

/**
 * A model of random weights whose making takes seconds: one block of random numbers, repeated. For
 * benchmarks, where only their bits' variety matters.
 */
export async function benchModel(
  config: ReneConfig,
  dtype: WeightFormat,
): Promise<ReneLMHeadModel> {
  const noise = new Float32Array(1 << 20);
  initializers.normal(0.02)(noise, seedrandom.alea('bench'));
  const parameters = await makeParameters(
    modelParameters(config),
    { format: dtype },
    { values: async (spec) => drawn(spec), matrix: async (spec) => repeated(noise, spec) },
  );
  return new ReneLMHeadModel(config, parameters);
}

function drawn(spec: ParameterSpec): Float32Array {
  const values = new Float32Array(sizeOf(spec));
  spec.init(values, seedrandom.alea(spec.name));
  return values;
}

function repeated(
  noise: Float32Array,
  { shape: [rows = 0, columns = 0] }: ParameterSpec,
): StoredMatrix {
  return {
    shape: [rows, columns],
    dtype: 'F32',
    readRows(first, count) {
      const values = new Float32Array(count * columns);
      for (let at = 0; at < values.length; ) {
        const from = (first * columns + at) % noise.length;
        const part = noise.subarray(from, from + Math.min(noise.length - from, values.length - at));
        values.set(part, at);
        at += part.length;
      }
      return new Uint8Array(values.buffer);
    },
  };
}

export async function seconds(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function sizeOf({ shape }: ParameterSpec): number {
  return shape.reduce((size, axis) => size * axis, 1);
}
