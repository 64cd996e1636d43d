// 'cuda' as its tests take it, and what they compare it by.
import * as tf from '@tensorflow/tfjs-core';
import { CudaDevice } from '../../../src/backends/cuda/cuda_device.js';
import type { CudaOptions } from '../../../src/backends/cuda/gpu.js';
import { registerCudaBackend } from '../../../src/backends/cuda/index.js';
import { BackendError } from '../../../src/errors.js';
import { expectSameAsCpu } from '../both.js';

export { expectClose, uniform, valuesOf } from '../both.js';

/** Whether RENE_TEST_BACKENDS names cuda: then there must be a card, or RENE_CUDA=emulated. */
const isAskedFor = process.env.RENE_TEST_BACKENDS?.split(',').includes('cuda') ?? false;

/** Where there is a card, tests run on it. RENE_CUDA=emulated, or no card, takes the emulated device. */
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

/** A suite on the card or the emulated device, which is built for Linux on x64 alone. */
export function describeOnCuda(title: string, suite: () => void): void {
  const isHere = !isEmulated || (process.platform === 'linux' && process.arch === 'x64');
  (isHere ? describe : describe.skip)(title, suite);
}

/** A suite that reads the device's memory as the host's: not for a card. */
export function describeOnEmulated(title: string, suite: () => void): void {
  (isEmulated ? describeOnCuda : describe.skip)(title, suite);
}
