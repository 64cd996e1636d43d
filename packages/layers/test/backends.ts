// Runs a suite on every backend that is here: cpu, simd, and tensorflow where tfjs-node(-gpu) is
// installed. RENE_TEST_BACKENDS=cpu,wasm chooses; a backend that is asked for must start.
import '@tensorflow/tfjs-backend-cpu';
import { BackendError, useBackend } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { installedTensorflow } from '../src/backends/tensorflow/load.js';

const chosen = process.env.RENE_TEST_BACKENDS?.split(',');
const present = ['cpu', 'simd', ...(installedTensorflow().length > 0 ? ['tensorflow'] : [])];

/** One describe a backend; fails a test that leaves tensors behind. */
export function describeOnBackends(title: string, suite: () => void): void {
  for (const name of chosen ?? present) {
    describe(`${title} [${name}]`, () => {
      let tensors = 0;
      before(async function () {
        if (!(await startBackend(name))) this.skip();
      });
      beforeEach(() => {
        tensors = tf.memory().numTensors;
      });
      afterEach(() => {
        expect(tf.memory().numTensors, 'tensors left behind').to.equal(tensors);
      });
      suite();
    });
  }
}

/** False for a backend that this build of the package does not have and nobody asked for. */
async function startBackend(name: string): Promise<boolean> {
  if (name === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
  try {
    await useBackend(name);
    return true;
  } catch (error) {
    const unknown = error instanceof BackendError && error.message.startsWith('unknown backend');
    if (unknown && !chosen) return false;
    throw error;
  }
}

/** The largest absolute difference; Infinity where the shapes differ. */
export async function maxError(actual: tf.Tensor, expected: tf.Tensor): Promise<number> {
  if (actual.shape.join() !== expected.shape.join()) return Number.POSITIVE_INFINITY;
  const [a, b] = await Promise.all([actual.data(), expected.data()]);
  let worst = 0;
  a.forEach((value, i) => {
    const error = Math.abs(value - (b[i] ?? Number.NaN));
    if (!(error <= worst)) worst = error;
  });
  return worst;
}

/** tf.tidy for asynchronous bodies: frees every tensor that `body` made. */
export async function tidily<T>(body: () => Promise<T>): Promise<T> {
  tf.engine().startScope();
  try {
    return await body();
  } finally {
    tf.engine().endScope();
  }
}
