/**
 * The tfjs backend 'cuda': our own kernels on an NVIDIA GPU. It needs the driver only, not the CUDA toolkit.
 *
 * ```ts
 * import { registerCudaBackend } from '@rene-js/layers/cuda';
 * registerCudaBackend({ device: 0 });
 * await tf.setBackend('cuda');
 * ```
 *
 * tfjs has no bf16 tensors: every op reads and writes float32, with weights of any format. Only within a
 * mixer (mamba2Mixer, attentionMixer, gatedMLP) of many tokens with bf16, int8 or int4 weights,
 * activations between kernels are bf16.
 *
 * @module @rene-js/layers/cuda
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { registerStepCompiler } from '../../step.js';
import { registerWeightPacker } from '../../weights/packing.js';
import { asCuda, CudaBackend } from './backend.js';
import { compileCudaStep } from './compile_step.js';
import { CudaDevice } from './cuda_device.js';
import type { CudaOptions } from './gpu.js';
import { BACKEND_NAME } from './ops.js';
import { cudaPacker } from './packing.js';
import { registerAllKernels } from './register_all_kernels.js';
import { CudaRuntime } from './runtime.js';

export { CudaError } from './device.js';
export type { CudaOptions } from './gpu.js';

let registered = false;

/**
 * Registers the backend 'cuda' with tfjs, at priority 0: tf.setBackend('cuda') or useBackend('cuda')
 * selects it. The device is opened then.
 *
 * @returns false if it is registered already; the first options stay in force
 */
export function registerCudaBackend(options: CudaOptions = {}): boolean {
  if (registered) return false;
  registered = true;
  registerAllKernels();
  registerWeightPacker(BACKEND_NAME, cudaPacker);
  registerStepCompiler(BACKEND_NAME, compileCudaStep);
  const start = async () => new CudaBackend(new CudaRuntime(await CudaDevice.open(options)));
  return tf.registerBackend(BACKEND_NAME, start, 0);
}

/**
 * Registers the backend after checking that its device opens.
 *
 * @throws BackendError naming what is missing: koffi, the driver, a GPU
 */
export async function loadCudaBackend(options: CudaOptions = {}): Promise<void> {
  if (registered) return;
  (await CudaDevice.open(options)).dispose();
  registerCudaBackend(options);
}

/** Resources of the running backend. */
export interface CudaInfo {
  /** The GPU's name. */
  name: string;
  /** Whether it is the emulated device for tests. */
  emulated: boolean;
  /** Bytes of tensors, weights and temporaries in use. */
  usedBytes: number;
  /** Their peak. */
  peakBytes: number;
  /** Whether cuBLASLt multiplies matrices of many rows; else our kernels do. */
  usesCublasLt: boolean;
  /** Bytes of GPU memory. */
  totalBytes: number;
}

/**
 * Measures the GPU's memory bandwidth with copies, counting reads and writes. On the emulated device it is
 * the host's.
 *
 * @returns bytes per second
 * @throws BackendError if another backend is current
 */
export function measureCopyBandwidth(bytes = 1 << 30): number {
  const { device, pool } = asCuda(tf.backend()).runtime;
  const [from, to] = [pool.allocate(bytes), pool.allocate(bytes)];
  try {
    device.copy(to, from, bytes);
    const times = [1, 2, 3].map(() => device.time(() => device.copy(to, from, bytes)));
    return (2 * bytes) / (Math.min(...times) / 1000);
  } finally {
    for (const address of [from, to]) pool.release(address);
    pool.trim();
  }
}

/**
 * Resources of the running backend.
 *
 * @throws BackendError if another backend is current
 */
export function cudaInfo(): CudaInfo {
  const { runtime } = asCuda(tf.backend());
  const { name, emulated, totalBytes, hasCublasLt } = runtime.device;
  const { usedBytes, peakBytes } = runtime.pool;
  const usesCublasLt = hasCublasLt;
  return { name, emulated, usedBytes, peakBytes, usesCublasLt, totalBytes };
}
