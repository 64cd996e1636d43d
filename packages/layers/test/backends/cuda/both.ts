// The backend 'cuda' in tests, and the comparison with the CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import { CudaDevice } from '../../../src/backends/cuda/cuda_device.js';
import type { CudaOptions } from '../../../src/backends/cuda/gpu.js';
import { registerCudaBackend } from '../../../src/backends/cuda/index.js';
import { BackendError } from '../../../src/errors.js';
import { expectSameAsCpu } from '../both.js';

export { expectClose, uniform, valuesOf } from '../both.js';

/** Whether RENE_TEST_BACKENDS names cuda. Then there must be a GPU, or RENE_CUDA=emulated. */
const isAskedFor = process.env.RENE_TEST_BACKENDS?.split(',').includes('cuda') ?? false;

/**
 * Tests run on the GPU if there is one. With RENE_CUDA=emulated, or without a GPU, they use the emulated
 * device.
 */
const isEmulated = process.env.RENE_CUDA === 'emulated' || (!isAskedFor && !(await hasCard()));

async function hasCard(): Promise<boolean> {
  try {
    (await CudaDevice.open({ emulated: false })).dispose();
    return true;
  } catch (error) {
    if (error instanceof BackendError) return false;
    throw error;
  }
}

export function openCuda(options: CudaOptions = {}): Promise<CudaDevice> {
  return CudaDevice.open({ ...options, emulated: isEmulated });
}

export async function useCuda(): Promise<void> {
  registerCudaBackend({ emulated: isEmulated });
  await tf.setBackend('cuda');
}

export const expectSame = (run: () => tf.Tensor[], tolerance?: number): Promise<void> =>
  expectSameAsCpu(useCuda, run, tolerance);

/** A suite on the GPU or the emulated device, which is built for Linux on x64 only. */
export function describeOnCuda(title: string, suite: () => void): void {
  const isHere = !isEmulated || (process.platform === 'linux' && process.arch === 'x64');
  (isHere ? describe : describe.skip)(title, suite);
}

/** A suite that accesses device memory as host memory, which needs the emulated device. */
export function describeOnEmulated(title: string, suite: () => void): void {
  (isEmulated ? describeOnCuda : describe.skip)(title, suite);
}
