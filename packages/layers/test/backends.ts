// Runs a suite on every available backend: cpu, simd, and tensorflow if tfjs-node(-gpu) is installed.
// RENE_TEST_BACKENDS=cpu,wasm selects backends, which must then start.
import '@tensorflow/tfjs-backend-cpu';
import { BackendError, useBackend } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { installedTensorflow } from '../src/backends/tensorflow/load.js';

const chosen = process.env.RENE_TEST_BACKENDS?.split(',');
const present = ['cpu', 'simd', ...(installedTensorflow().length > 0 ? ['tensorflow'] : [])];

/** One describe per backend. A test that leaks tensors fails. */
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

/** False for a backend that is missing in this build of the package and was not selected. */
async function startBackend(name: string): Promise<boolean> {
  if (name === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
  try {
    await useBackend(name);
    return true;
  } catch (error) {
    const unknown = error instanceof BackendError && error.message.startsWith('backend: expected');
    if (unknown && !chosen) return false;
    throw error;
  }
}

/** The largest absolute difference; Infinity if the shapes differ. */
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

/** tf.tidy for async functions: disposes all tensors that `body` created. */
export async function tidily<T>(body: () => Promise<T>): Promise<T> {
  tf.engine().startScope();
  try {
    return await body();
  } finally {
    tf.engine().endScope();
  }
}
