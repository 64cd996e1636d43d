// The backend 'simd' in tests, and the comparison with the CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import { registerSimdBackend } from '../../../src/backends/simd/index.js';
import { expectSameAsCpu } from '../both.js';

export { expectClose, uniform, useCpu, valuesOf } from '../both.js';

export async function useSimd(): Promise<void> {
  registerSimdBackend({ threads: 2, oversubscribe: true });
  await tf.setBackend('simd');
}

export const expectSame = (run: () => tf.Tensor[], tolerance?: number): Promise<void> =>
  expectSameAsCpu(useSimd, run, tolerance);
