// Measures one loaded model: prefill, decode, memory, and the limit that memory sets.
import { cpus } from 'node:os';
import type { WeightFormat } from '@rene-js/layers';
import { cudaInfo, measureCopyBandwidth } from '@rene-js/layers/cuda';
import type { DecodeStep } from '@rene-js/layers/internal';
import { availableCores, measureReadBandwidth, simdInfo } from '@rene-js/layers/simd';
import type { ReneLMHeadModel } from '@rene-js/rene';
import { argmax, countParameters, greedyParams, modelParameters } from '@rene-js/rene/internal';
import { checkpointBytes, mainFormat } from './checkpoint_bytes.js';

/** What is timed. */
export interface BenchOptions {
  /** Tokens of the prompt. */
  prompt: number;
  /** Tokens decoded after it. */
  tokens: number;
  /** Rows of the batch. */
  batch: number;
  /** Times that the prompt is read and continued. */
  repeat: number;
}

/** Medians of one model's runs, and what the machine allows. */
export interface BenchResult extends BenchOptions {
  /** The processor and its cores, or the GPU. */
  machine: string;
  node: string;
  backend: string;
  /** The format of most weights. */
  dtype: WeightFormat;
  parameters: number;
  /** Of the backend 'simd'; null on others. */
  threads: number | null;
  relaxedSimd: boolean | null;
  /** From an open file to a model in memory, the backend's start included. */
  loadSeconds: number;
  /** From a prompt to the logits of its last token, of all rows of the batch; a median. */
  firstTokenSeconds: number;
  prefillTokensPerSecond: number;
  /** Of all rows of the batch together, from the median time of a step. */
  decodeTokensPerSecond: number;
  /** The most that the process held while it loaded, read a prompt and decoded; on `cuda` the GPU. */
  peakMemoryBytes: number;
  /** What a decoded token reads once: every matrix, as a checkpoint would hold it. */
  weightBytes: number;
  /** Bytes a second that the same process reads memory with; null where the backend cannot tell. */
  readBandwidth: number | null;
  /** Share of that which decoding reaches; null for batches, and for weights that fit in caches. */
  shareOfBandwidth: number | null;
}

/**
 * Runs the benchmark on a model that is loaded already.
 *
 * @param onProgress called after each forward with the tokens done and the tokens in all
 */
export async function measure(
  model: ReneLMHeadModel,
  loadSeconds: number,
  options: BenchOptions,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<BenchResult> {
  const { config, parameters } = model;
  const { prompt, tokens, batch, repeat } = options;
  const simd = model.backend === 'simd';
  const cuda = model.backend === 'cuda';
  const warmUp = Math.min(tokens, 8);
  const total = prompt + warmUp + repeat * (prompt + tokens);
  let done = 0;
  const note = (count: number) => {
    done += count;
    onProgress(done, total);
  };
  // Warms up, and shows the peak before the probe takes memory of its own.
  await run(model, { ...options, tokens: warmUp }, note);
  const peakMemoryBytes = cuda ? cudaInfo().peakBytes : process.resourceUsage().maxRSS * 1024;

  const bandwidths = simd ? [measureReadBandwidth(PROBE_BYTES, 3)] : [];
  // The limit moves on a shared machine: look at it in between, not before and after alone.
  const probe = () => {
    if (simd) bandwidths.push(measureReadBandwidth(PROBE_BYTES, 1));
  };
  const prefills: number[] = [];
  const steps: number[] = [];
  for (let i = 0; i < repeat; i++) {
    const times = await run(model, options, note, probe);
    prefills.push(times.prefill);
    steps.push(...times.steps);
  }

  const firstTokenSeconds = median(prefills);
  const decodeTokensPerSecond = batch / median(steps);
  const weightBytes = checkpointBytes(config, parameters);
  if (cuda) bandwidths.push(measureCopyBandwidth());
  const readBandwidth = bandwidths.length > 0 ? median(bandwidths) : null;
  const info = simd ? simdInfo() : null;
  const isLimited = readBandwidth !== null && batch === 1 && weightBytes > CACHE_BYTES;
  return {
    ...{ prompt, tokens, batch, repeat },
    machine: cuda
      ? cudaInfo().name
      : `${cpus()[0]?.model.trim() || process.arch}, ${await availableCores()} cores`,
    node: process.version,
    backend: model.backend,
    dtype: mainFormat(parameters),
    parameters: countParameters(modelParameters(config)),
    threads: info?.threads ?? null,
    relaxedSimd: info?.relaxedSimd ?? null,
    loadSeconds,
    firstTokenSeconds,
    prefillTokensPerSecond: (batch * prompt) / firstTokenSeconds,
    decodeTokensPerSecond,
    peakMemoryBytes,
    weightBytes,
    readBandwidth,
    shareOfBandwidth: isLimited ? (decodeTokensPerSecond * weightBytes) / readBandwidth : null,
  };
}

/** Well beyond the caches; beside 2.6 GB of weights it still fits in the kernels' 4 GiB. */
const PROBE_BYTES = 256 << 20;
/** Weights of fewer bytes may stay in a processor's caches, and memory is not their limit. */
const CACHE_BYTES = 128 << 20;
const STEPS_BETWEEN_PROBES = 16;

/** Reads a prompt and decodes; returns seconds. */
async function run(
  model: ReneLMHeadModel,
  { prompt, tokens, batch }: BenchOptions,
  note: (tokens: number) => void,
  probe = () => {},
): Promise<{ prefill: number; steps: number[] }> {
  const { vocabSize } = model.config;
  const ids = Array.from({ length: prompt }, (_, i) => (i * 7 + 11) % vocabSize);
  const state = model.initialState(batch);
  const forward = async (rows: number[][]) => {
    const logits = model.forward(rows, { state, logitsToKeep: 1 });
    await logits.data();
    logits.dispose();
  };
  let compiled: DecodeStep | undefined;
  try {
    const prefill = await seconds(() => forward(Array.from({ length: batch }, () => ids)));
    note(prompt);
    compiled = model.compileStep(batch);
    for (const [row, position] of state.positions.entries()) {
      compiled?.join(state.layers, row, position);
    }
    const steps: number[] = [];
    let next = Array.from({ length: batch }, (_, row) => row % vocabSize);
    for (let i = 0; i < tokens; i++) {
      steps.push(
        await seconds(async () => {
          // A compiled step chooses the token as well, as generation has it.
          if (compiled?.sample) {
            next = await compiled.sample(
              next,
              next.map(() => greedyParams),
            );
          } else if (compiled) {
            next = (await compiled.logits(next)).map((logits) => argmax(logits, vocabSize));
          } else await forward(next.map((id) => [id]));
        }),
      );
      if (!compiled) next = next.map((_, row) => (i * 13 + row) % vocabSize);
      note(1);
      if (i % STEPS_BETWEEN_PROBES === STEPS_BETWEEN_PROBES - 1) probe();
    }
    return { prefill, steps };
  } finally {
    compiled?.dispose();
    state.dispose();
  }
}

/** How long it takes. */
export async function seconds(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
}

/** The middle value, the upper one of two; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
