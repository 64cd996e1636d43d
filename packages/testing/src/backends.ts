// Runs a suite on the CPU backends, and on tensorflow if tfjs-node(-gpu) is installed.
// RENE_TEST_BACKENDS=cpu,wasm selects backends.
import { createRequire } from 'node:module';
import { useBackend } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

/** The backends on which suites run. */
export const backends = process.env.RENE_TEST_BACKENDS?.split(',') ?? [
  ...['cpu', 'simd'],
  ...(isInstalled('@tensorflow/tfjs-node-gpu') || isInstalled('@tensorflow/tfjs-node')
    ? ['tensorflow']
    : []),
];

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** One describe per backend. A test that leaks tensors fails. */
export function describeOnBackends(title: string, suite: (backend: string) => void): void {
  for (const backend of backends) {
    describe(`${title} [${backend}]`, () => {
      let tensors = 0;
      before(() => startBackend(backend));
      beforeEach(() => {
        tensors = tf.memory().numTensors;
      });
      afterEach(() => {
        expect(tf.memory().numTensors, 'tensors left behind').to.equal(tensors);
      });
      suite(backend);
    });
  }
}

export async function startBackend(backend: string): Promise<void> {
  if (backend === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
  await useBackend(backend);
}
