// Runs a suite on every tfjs backend that is here. RENE_TEST_BACKENDS=cpu,tensorflow chooses.
import '@tensorflow/tfjs-backend-cpu';
import { useBackend } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

const names = (process.env.RENE_TEST_BACKENDS ?? 'cpu').split(',');

/** One describe a backend; fails a test that leaves tensors behind. */
export function describeOnBackends(title: string, suite: () => void): void {
  for (const name of names) {
    describe(`${title} [${name}]`, () => {
      let tensors = 0;
      before(() => useBackend(name));
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
