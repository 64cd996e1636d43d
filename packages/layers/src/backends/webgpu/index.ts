/**
 * The tfjs backend 'webgpu' with kernels of our own: any GPU, in the browser and in Node.
 *
 * ```ts
 * import { registerWebGpuBackend } from '@rene-js/layers/webgpu';
 * registerWebGpuBackend();
 * await tf.setBackend('webgpu');
 * ```
 *
 * It is tfjs's WebGPU backend over a device with the adapter's limits and features, so all ops of tfjs run
 * on it. If that backend has been started before, its device is used.
 *
 * @module @rene-js/layers/webgpu
 */
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import { registerStepCompiler } from '../../step.js';
import { registerWeightPacker } from '../../weights/packing.js';
import { registerRestart } from '../restart.js';
import { compileWebGpuStep } from './compile_step.js';
import { type AdapterInfo, describeAdapter, type OpenedDevice, openDevice } from './device.js';
import { BACKEND_NAME } from './ops.js';
import { webGpuPacker } from './packing.js';
import { registerAllKernels } from './register_all_kernels.js';
import { tensorsOf } from './tensors.js';

export { GpuDeviceLostError, GpuOutOfMemoryError } from './errors.js';

let registered = false;
/** What the backend will run on, if that was opened before tfjs asks for the backend. */
let prepared: Promise<OpenedDevice> | undefined;

/**
 * Makes the backend 'webgpu' known to tfjs, at priority 0: it is used where tf.setBackend('webgpu') or
 * useBackend('webgpu') asks for it. Starts nothing yet.
 *
 * @returns false if it was registered before
 */
export function registerWebGpuBackend(): boolean {
  if (registered) return false;
  registered = true;
  registerAllKernels();
  registerWeightPacker(BACKEND_NAME, webGpuPacker);
  registerStepCompiler(BACKEND_NAME, compileWebGpuStep);
  registerRestart(BACKEND_NAME, restartIfLost);
  if (isStarted()) return true;
  // Importing tfjs's package registers its own device, at the highest priority.
  if (tf.findBackendFactory(BACKEND_NAME)) tf.removeBackend(BACKEND_NAME);
  return tf.registerBackend(BACKEND_NAME, start, 0);
}

async function start(): Promise<WebGPUBackend> {
  const { device, adapterInfo } = await (prepared ?? openDevice());
  prepared = undefined;
  return new WebGPUBackend(device, adapterInfo);
}

/**
 * Registers the backend and opens its device, so that tf.setBackend('webgpu') cannot fail: tfjs would only
 * print why.
 *
 * @throws BackendError that says what is missing: WebGPU, an adapter
 */
export async function loadWebGpuBackend(): Promise<void> {
  registerWebGpuBackend();
  if (isStarted()) return;
  prepared ??= openDevice();
  try {
    await prepared;
  } catch (error) {
    prepared = undefined;
    throw error;
  }
}

/** Lets the next start open the device anew if the GPU was lost. Tensors on the lost one can still be disposed. */
function restartIfLost(): void {
  const backend: unknown = tf.findBackend(BACKEND_NAME);
  if (!(backend instanceof WebGPUBackend) || !tensorsOf(backend).runtime.failures.isLost) return;
  tf.removeBackend(BACKEND_NAME);
  tf.registerBackend(BACKEND_NAME, start, 0);
}

function isStarted(): boolean {
  return BACKEND_NAME in tf.engine().registry;
}

/**
 * Bytes a second that copies within the GPU's memory move, reads and writes counted: the limit of decoding.
 *
 * @param bytes of each of two buffers. Default: 256 MiB, or the largest buffer of the device
 * @throws BackendError if the current backend is another, or the GPU has no room
 */
export async function measureCopyBandwidth(bytes = 256 << 20): Promise<number> {
  const { runtime } = tensorsOf(tf.backend());
  const { device, pool } = runtime;
  const size = Math.min(bytes, device.limits.maxBufferSize);
  const [source, target] = [pool.allocateExact(size), pool.allocateExact(size)];
  try {
    const copy = async () => {
      const start = performance.now();
      runtime.copy(target, source, size);
      runtime.submit();
      await device.queue.onSubmittedWorkDone();
      runtime.failures.throwFirst();
      return (performance.now() - start) / 1000;
    };
    await copy();
    return (2 * size) / Math.min(await copy(), await copy(), await copy());
  } finally {
    for (const address of [source, target]) pool.destroy(address);
  }
}

/** What the running backend uses. */
export interface WebGpuInfo extends AdapterInfo {
  /** Features of the device that kernels use: `shader-f16`, `subgroups`. */
  features: readonly string[];
  /** Limits of the device, in bytes or as a count. */
  limits: Readonly<Record<string, number>>;
  /** Bytes of the buffers of weights, states and temporaries. tf.memory() counts those of tensors. */
  allocatedBytes: number;
  /** Number of those buffers: in use, and released ones that are kept to be used again. */
  buffers: { inUse: number; kept: number };
  /** Kernel launches since the start. */
  launches: number;
  /** Bytes of weights that they read, by count. */
  weightBytes: number;
  /** Errors that the device has reported since the start. */
  errors: number;
}

/**
 * What the running backend uses.
 *
 * @throws BackendError if the current backend is another
 */
export function webGpuInfo(): WebGpuInfo {
  const { runtime } = tensorsOf(tf.backend());
  const { device, failures, launches, pool, weightBytes } = runtime;
  const { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } =
    device.limits;
  return {
    ...describeAdapter(device.adapterInfo),
    features: [...device.features].filter((name) => /^(shader-f16|subgroups)$/.test(name)),
    limits: { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage },
    allocatedBytes: pool.allocatedBytes,
    buffers: { inUse: pool.count - pool.keptCount, kept: pool.keptCount },
    launches,
    weightBytes,
    errors: failures.count,
  };
}
