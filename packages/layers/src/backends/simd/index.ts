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
/** What the backend will run on, if that was started before tfjs asks for the backend. */
let prepared: Promise<Runtime> | undefined;

/**
 * Makes the backend 'simd' known to tfjs, at priority 0: it is used where tf.setBackend('simd') or
 * useBackend('simd') asks for it. Starts nothing yet.
 *
 * @returns false if it was registered before; then the options of the first time hold
 * @throws InvalidArgumentError if options.threads, or else RENE_THREADS, is not a whole number from 1 to 1024
 */
export function registerSimdBackend(options: SimdOptions = {}): boolean {
  if (registered) return false;
  // Where it starts, tfjs would catch the error and take another backend.
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
 * Registers the backend and starts what it runs on, so that tf.setBackend('simd') cannot fail: tfjs would only print
 * why.
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

/** What the running backend uses. */
export interface SimdInfo {
  /** Threads, the main one included. */
  threads: number;
  /** Whether the relaxed SIMD module runs; the plain one otherwise. */
  relaxedSimd: boolean;
  /** Bytes of tensors and weights in the kernels' memory. */
  usedBytes: number;
}

/**
 * What the running backend uses.
 *
 * @throws BackendError if the current backend is another
 */
export function simdInfo(): SimdInfo {
  const { runtime } = asSimd(tf.backend());
  const { threads, relaxedSimd, usedBytes } = runtime;
  return { threads, relaxedSimd, usedBytes };
}

/**
 * Reads memory on all threads, each from one place on: about the limit of what a decoded token can reach. Some
 * processors read two places in turns faster, by a tenth or two, as the products do there (see reading.ts).
 *
 * @param bytes to read, well beyond the caches; 1 GiB unless given
 * @returns bytes a second, the median of `repeats` readings (5 unless given)
 * @throws BackendError if the current backend is another, or its memory has no room for so much
 */
export function measureReadBandwidth(bytes = 1 << 30, repeats = 5): number {
  const { runtime } = asSimd(tf.backend());
  const address = runtime.allocate(bytes);
  try {
    // Untouched pages may all be the same page of zeros.
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
