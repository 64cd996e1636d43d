/**
 * The tfjs backend 'tensorflow' (tfjs-node or tfjs-node-gpu), with our kernels as TensorFlow ops.
 *
 * ```ts
 * import { useBackend } from '@rene-js/layers';
 * import { useTensorflowKernels } from '@rene-js/layers/tensorflow';
 * await useBackend('tensorflow');
 * await useTensorflowKernels('custom');
 * ```
 *
 * @module @rene-js/layers/tensorflow
 */
import * as tf from '@tensorflow/tfjs-core';
import { BackendError, InvalidArgumentError, ReneError } from '../../errors.js';
import { composedKernels } from '../../registry.js';
import { registerWeightPacker, rowsPacker } from '../../weights/packing.js';
import { CudaDevice } from '../cuda/cuda_device.js';
import { nativeKernels } from '../native/kernels.js';
import { TensorflowApi } from './c_api.js';
import { type KernelOp, registerKernels, replaceKernel } from './kernels.js';
import { loadedTensorflow } from './load.js';
import { asNodeBackend, type NodeBackend } from './node_backend.js';
import { TensorflowRuntime } from './op_call.js';
import { opDefinition } from './op_definitions.js';
import { tensorflowPacker } from './packing.js';
import { registerOps } from './register_ops.js';
import { runOp } from './run_op.js';
import { StateMemory } from './state_memory.js';
import { weightOps } from './weight_ops.js';

export { traceTensorflowOps } from './trace_ops.js';

/**
 * Our kernels as TensorFlow ops ('custom'), or the same computations in TensorFlow's own ops ('composed').
 */
export type TensorflowKernels = 'custom' | 'composed';

/** The device and kernels of the backend 'tensorflow'. */
export interface TensorflowInfo {
  /** Where TensorFlow computes. */
  device: 'GPU' | 'CPU';
  kernels: TensorflowKernels;
}

const BACKEND_NAME = 'tensorflow';

let chosen: TensorflowKernels | undefined;
/** The registration of the ops. It is tried once, since TensorFlow cannot unregister ops. */
let started: Promise<StateMemory> | undefined;
let isNoticed = false;

/**
 * Selects the kernels of the backend 'tensorflow', which must be the current one. useBackend('tensorflow')
 * calls this with RENE_TENSORFLOW_KERNELS, or 'auto' if it is not set.
 *
 * @param choice 'custom': the CUDA kernels of this package as TensorFlow ops, on TensorFlow's memory and in
 *   order with its other work; on a CPU the same kernels compiled for the host, which are slow and meant for
 *   tests. 'composed': TensorFlow's own ops only. 'auto': custom on a GPU if koffi, TensorFlow's C API and a
 *   new enough driver are available, else composed, with a notice of the reason on a GPU. A model keeps
 *   working after a change only if its weights are f32
 * @throws BackendError if custom kernels are requested and not available
 */
export async function useTensorflowKernels(
  choice: TensorflowKernels | 'auto',
): Promise<TensorflowInfo> {
  if (!['auto', 'custom', 'composed'].includes(choice)) {
    throw new InvalidArgumentError('kernels', "'auto', 'custom' or 'composed'", `'${choice}'`);
  }
  const backend = asNodeBackend(tf.backend());
  const isWanted = choice === 'custom' || (choice === 'auto' && backend.isUsingGpuDevice);
  if (!isWanted) {
    useComposed();
  } else {
    try {
      await useCustom(backend);
    } catch (error) {
      useComposed();
      const why = error instanceof Error ? error.message : String(error);
      if (choice === 'custom') {
        throw error instanceof ReneError ? error : new BackendError(why, { cause: error });
      }
      if (!isNoticed) {
        isNoticed = true;
        console.warn(
          `rene: the backend 'tensorflow' uses composed ops instead of our CUDA kernels: ${why}`,
        );
      }
    }
  }
  return tensorflowInfo();
}

/**
 * The device and kernels of the backend 'tensorflow'.
 *
 * @throws BackendError if another backend is in use
 */
export function tensorflowInfo(): TensorflowInfo {
  const { isUsingGpuDevice } = asNodeBackend(tf.backend());
  return { device: isUsingGpuDevice ? 'GPU' : 'CPU', kernels: chosen ?? 'composed' };
}

/** Selects the kernels by RENE_TENSORFLOW_KERNELS, unless they were selected before. */
export async function chooseTensorflowKernels(): Promise<void> {
  if (chosen !== undefined) return;
  const choice = process.env.RENE_TENSORFLOW_KERNELS ?? 'auto';
  if (choice !== 'auto' && choice !== 'custom' && choice !== 'composed') {
    const expected = "'auto', 'custom' or 'composed'";
    throw new InvalidArgumentError('RENE_TENSORFLOW_KERNELS', expected, `'${choice}'`);
  }
  await useTensorflowKernels(choice);
}

function useComposed(): void {
  if (chosen === 'custom') {
    for (const { kernelName, kernelFunc } of composedKernels()) {
      if (kernelOps.some((op) => op.kernelName === kernelName))
        replaceKernel(kernelName, kernelFunc);
    }
    registerWeightPacker(BACKEND_NAME, rowsPacker);
  }
  chosen = 'composed';
}

async function useCustom(backend: NodeBackend): Promise<void> {
  if (chosen === 'custom') return;
  started ??= start(backend);
  registerKernels(kernelOps, await started);
  registerWeightPacker(BACKEND_NAME, tensorflowPacker);
  chosen = 'custom';
}

async function start(backend: NodeBackend): Promise<StateMemory> {
  const entry = loadedTensorflow();
  if (!entry) throw new BackendError('the package file of the loaded tfjs-node cannot be found');
  const api = await TensorflowApi.open(entry);
  const device = await CudaDevice.open({ emulated: !backend.isUsingGpuDevice });
  const runtime = new TensorflowRuntime(api, device);
  try {
    registerOps([...kernelOps, ...weightOps], runtime, backend.isUsingGpuDevice ? 'GPU' : 'CPU');
    await tryOut(backend);
  } catch (error) {
    device.dispose();
    throw error;
  }
  return new StateMemory(backend);
}

/** Runs one op as a test, since this TensorFlow, driver and GPU may be untested. */
async function tryOut(backend: NodeBackend): Promise<void> {
  const op = kernelOps.find(({ kernelName }) => kernelName === 'RmsNorm');
  if (!op) return;
  const inputs = { x: tf.tensor2d([[3, 4]]), weight: tf.tensor1d([1, 2]) };
  try {
    const [y] = runOp(backend, op, { inputs, attrs: { eps: 0 }, outputs: 1 });
    if (!(y instanceof tf.Tensor)) throw new BackendError(`${op.name} returned no tensor`);
    const [a = 0, b = 0] = await y.data();
    y.dispose();
    const rms = Math.sqrt(12.5);
    if (Math.abs(a - 3 / rms) < 1e-5 && Math.abs(b - 8 / rms) < 1e-5) return;
    throw new BackendError(
      `test run of ${op.name}: expected ${3 / rms}, ${8 / rms}, found ${a}, ${b}`,
    );
  } finally {
    tf.dispose(inputs);
  }
}

/** The kernels that are TensorFlow ops. The others, mainly gradients, stay composed. */
const kernelOps: readonly KernelOp[] = nativeKernels.flatMap(({ kernelName, run }) => {
  const definition = opDefinition(kernelName);
  return definition ? [{ ...definition, name: `Rene${kernelName}`, kernelName, run }] : [];
});
