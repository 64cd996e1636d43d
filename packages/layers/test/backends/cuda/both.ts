// 'cuda' as its tests take it, on the emulated device, and what they compare it by.
import * as tf from '@tensorflow/tfjs-core';
import { registerCudaBackend } from '../../../src/backends/cuda/index.js';
import { expectSameAsCpu } from '../both.js';

export { expectClose, uniform, valuesOf } from '../both.js';

export async function useCuda(): Promise<void> {
  registerCudaBackend({ emulated: true });
  await tf.setBackend('cuda');
}

export const expectSame = (run: () => tf.Tensor[], tolerance?: number): Promise<void> =>
  expectSameAsCpu(useCuda, run, tolerance);

/** A suite on the emulated device; skipped where it has not been compiled for this platform. */
export function describeOnEmulated(title: string, suite: () => void): void {
  const here = process.platform === 'linux' && process.arch === 'x64';
  (here ? describe : describe.skip)(title, suite);
}
