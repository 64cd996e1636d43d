/**
 * The tfjs backend 'simd', WebAssembly SIMD on all cores, with packed weights.
 *
 * ```ts
 * import { registerSimdBackend } from '@rene-js/layers/simd';
 * registerSimdBackend({ threads: 4 });
 * await tf.setBackend('simd');
 * ```
 *
 * @module @rene-js/layers/simd
 */
import * as tf from '@tensorflow/tfjs-core';
import { registerBf16KvCaches } from '../../kv_cache.js';
import { registerStepCompiler } from '../../step.js';
import { registerWeightPacker } from '../../weights/packing.js';
import { asSimd, SimdBackend } from './backend.js';
import { compileSimdStep } from './compile_step.js';
import { BACKEND_NAME } from './ops.js';
import { simdPacker } from './packing.js';
import { registerAllKernels } from './register_all_kernels.js';
import { Runtime, type SimdOptions } from './runtime.js';
import { askedThreads } from './threads.js';

export { availableCores } from './platform.js';
export type { SimdOptions } from './runtime.js';

let registered = false;
let chosen: SimdOptions = {};
/** The backend's runtime, if it was started before tfjs requested the backend. */
let prepared: Promise<Runtime> | undefined;

/**
 * Registers the backend 'simd' with tfjs, at priority 0: tf.setBackend('simd') or useBackend('simd')
 * selects it. Nothing starts yet.
 *
 * @returns false if it was registered before; then the first options stay in force
 * @throws InvalidArgumentError if options.threads, or else RENE_THREADS, is not an integer from 1 to 1024
 */
export function registerSimdBackend(options: SimdOptions = {}): boolean {
  if (registered) return false;
  // tfjs would catch an error at start and take another backend.
  askedThreads(options.threads);
  registered = true;
  registerAllKernels();
  registerWeightPacker(BACKEND_NAME, simdPacker);
  registerBf16KvCaches(BACKEND_NAME);
  registerStepCompiler(BACKEND_NAME, compileSimdStep);
  chosen = options;
  return tf.registerBackend(BACKEND_NAME, start, 0);
}

async function start(): Promise<SimdBackend> {
  const runtime = await (prepared ?? Runtime.create(chosen));
  prepared = undefined;
  return new SimdBackend(runtime);
}

/**
 * Registers the backend and starts its runtime, so that tf.setBackend('simd') cannot fail: tfjs would only
 * print the reason.
 *
 * @throws BackendError if the backend does not start here
 * @throws InvalidArgumentError as registerSimdBackend does
 */
export async function loadSimdBackend(): Promise<void> {
  registerSimdBackend();
  if (BACKEND_NAME in tf.engine().registry) return;
  prepared ??= Runtime.create(chosen);
  try {
    await prepared;
  } catch (error) {
    prepared = undefined;
    throw error;
  }
}

/** Resources of the running backend. */
export interface SimdInfo {
  /** Number of threads, including the main thread. */
  threads: number;
  /** Whether the relaxed SIMD module runs; else the plain one. */
  relaxedSimd: boolean;
  /** Bytes of tensors and weights in the kernels' memory. */
  usedBytes: number;
}

/**
 * Resources of the running backend.
 *
 * @throws BackendError if another backend is current
 */
export function simdInfo(): SimdInfo {
  const { runtime } = asSimd(tf.backend());
  const { threads, relaxedSimd, usedBytes } = runtime;
  return { threads, relaxedSimd, usedBytes };
}

/**
 * Measures memory bandwidth with all threads, each reading one stream: an upper bound for decoding. On some
 * processors two interleaved streams, as the matmuls use them there, are 10 to 20 % faster (see
 * read_strategy.ts).
 *
 * @param bytes bytes to read, much more than the caches. Default: 1 GiB
 * @param repeats number of measurements. Default: 5
 * @returns bytes per second, the median
 * @throws BackendError if another backend is current, or its memory is too small
 */
export function measureReadBandwidth(bytes = 1 << 30, repeats = 5): number {
  const { runtime } = asSimd(tf.backend());
  const address = runtime.allocate(bytes);
  try {
    // Untouched pages may all map to one page of zeros.
    runtime.bytes(address, bytes).fill(1);
    const rates: number[] = [];
    for (let i = 0; i < repeats; i++) {
      const start = performance.now();
      runtime.read(address, bytes);
      rates.push((bytes / (performance.now() - start)) * 1000);
    }
    return rates.sort((a, b) => a - b)[Math.floor(repeats / 2)] ?? 0;
  } finally {
    runtime.release(address);
  }
}
