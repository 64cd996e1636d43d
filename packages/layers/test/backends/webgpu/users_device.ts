// In a process of its own: tfjs's WebGPU backend is started first, on a device with WebGPU's default limits;
// then our kernels take it over. Prints the results of ops before and after.
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import { ssdScan, useBackend } from '../../../src/index.js';

const require = createRequire(import.meta.url);
require('@tensorflow/tfjs-backend-cpu');
const { create, globals } = await import('webgpu');
Object.assign(globalThis, globals);
const value = { gpu: create([]), userAgent: 'Node' };
Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
require('@tensorflow/tfjs-backend-webgpu');
await tf.setBackend('webgpu');
const backend = tf.backend();
const kept = tf.square(tf.tensor1d([1, 2, 3]));

function numbers(seed: number, shape: number[]): tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin((i + 1) * seed)),
    shape,
  );
}

/** Every input is a tensor, and a buffer, of its own. */
async function scan(): Promise<number[]> {
  const { y, state } = ssdScan(
    numbers(1.1, [1, 3, 2, 4]),
    numbers(0.7, [1, 3, 2]),
    tf.tensor1d([-0.5, -1]),
    numbers(0.9, [1, 3, 1, 5]),
    numbers(1.7, [1, 3, 1, 5]),
    {
      D: numbers(0.3, [2]),
      dtBias: numbers(0.2, [2]),
      state: numbers(0.4, [1, 2, 4, 5]),
      returnState: true,
    },
  );
  return [...(await y.data()), ...((await state?.data()) ?? [])];
}

const before = await scan();
await useBackend('webgpu');
const after = await scan();
const { webGpuInfo } = await import('../../../src/backends/webgpu/index.js');
const { launches, limits } = webGpuInfo();
const isSame = tf.backend() === backend;
const squares = [...(await kept.data())];
console.log(JSON.stringify({ before, after, launches, limits, isSame, squares }));
process.exit();
