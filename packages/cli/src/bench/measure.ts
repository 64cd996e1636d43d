// Measures a loaded model: prefill, decode, memory, and the limit that memory bandwidth sets.
import { cpus } from 'node:os';
import type { WeightFormat } from '@rene-js/layers';
import { cudaInfo, measureCopyBandwidth } from '@rene-js/layers/cuda';
import type { DecodeStep } from '@rene-js/layers/internal';
import { availableCores, measureReadBandwidth, simdInfo } from '@rene-js/layers/simd';
import type { CausalLM } from '@rene-js/rene';
import { argmax, countParameters, greedyParams, modelParameters } from '@rene-js/rene/internal';
import { checkpointBytes, mainFormat } from './checkpoint_bytes.js';

/** What to measure. */
export interface BenchOptions {
  /** Length of the prompt in tokens. */
  prompt: number;
  /** Number of tokens to decode. */
  tokens: number;
  /** Batch size. */
  batch: number;
  /** Number of repetitions. */
  repeat: number;
}

/** Medians of one model's runs, and the limits of the machine. */
export interface BenchResult extends BenchOptions {
  /** The processor and its cores, or the GPU. */
  machine: string;
  node: string;
  backend: string;
  /** The format of most weights. */
  dtype: WeightFormat;
  parameters: number;
  /** Threads of the backend 'simd'; null on others. */
  threads: number | null;
  relaxedSimd: boolean | null;
  /** Load time in seconds, including the start of the backend. */
  loadSeconds: number;
  /** Median time to first token: prefill of all prompts of the batch. */
  firstTokenSeconds: number;
  prefillTokensPerSecond: number;
  /** Decode speed of the whole batch, from the median step time. */
  decodeTokensPerSecond: number;
  /** Peak memory of load, prefill and decode. On `cuda`, of the GPU. */
  peakMemoryBytes: number;
  /** Bytes that one decoded token reads: every matrix once, in the checkpoint's format. */
  weightBytes: number;
  /** Memory bandwidth of the same process in bytes per second; null if the backend cannot measure it. */
  readBandwidth: number | null;
  /** Share of the bandwidth that decoding reaches; null for batches and for weights that fit in caches. */
  shareOfBandwidth: number | null;
}

/**
 * Benchmarks a loaded model.
 *
 * @param onProgress called after each forward with the number of tokens done and the total
 */
export async function measure(
  model: CausalLM,
  loadSeconds: number,
  options: BenchOptions,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<BenchResult> {
  const { config, parameters } = model;
  const { prompt, tokens, batch, repeat } = options;
  const simd = model.backend === 'simd';
  const cuda = model.backend === 'cuda';
  const webgpu = model.backend === 'webgpu' ? await import('@rene-js/layers/webgpu') : undefined;
  const warmUp = Math.min(tokens, 8);
  const total = prompt + warmUp + repeat * (prompt + tokens);
  let done = 0;
  const note = (count: number) => {
    done += count;
    onProgress(done, total);
  };
  // Warms up, and records the peak before the bandwidth probe allocates memory.
  await run(model, { ...options, tokens: warmUp }, note);
  const peakMemoryBytes = cuda ? cudaInfo().peakBytes : process.resourceUsage().maxRSS * 1024;

  const bandwidths = simd ? [measureReadBandwidth(PROBE_BYTES, 3)] : [];
  // Bandwidth varies on a shared machine, so probe it between the runs.
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
  if (webgpu) bandwidths.push(await webgpu.measureCopyBandwidth());
  const readBandwidth = bandwidths.length > 0 ? median(bandwidths) : null;
  const info = simd ? simdInfo() : null;
  const isLimited = readBandwidth !== null && batch === 1 && weightBytes > CACHE_BYTES;
  return {
    ...{ prompt, tokens, batch, repeat },
    machine: cuda
      ? cudaInfo().name
      : webgpu
        ? webgpu.webGpuInfo().name
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

/** Much larger than the caches. With 2.6 GB of weights it still fits in the backend's 4 GiB. */
const PROBE_BYTES = 256 << 20;
/** Smaller weights may fit in the processor's caches, so that memory bandwidth is not their limit. */
const CACHE_BYTES = 128 << 20;
const STEPS_BETWEEN_PROBES = 16;

/** Runs prefill and decode once. Returns seconds. */
async function run(
  model: CausalLM,
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
          // Generation samples within the compiled step too.
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

/** Seconds that a call takes. */
export async function seconds(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
}

/** The median (the upper one of two middle values). NaN for an empty list. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
