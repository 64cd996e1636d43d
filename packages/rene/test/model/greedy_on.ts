// A separate process: prints logits of rene-tiny, and the ids that it generates, on a published tfjs backend.
// Arguments: the backend, the number of new tokens.
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import { ReneLMHeadModel } from '../../src/rene_model.js';

const [, , backend = '', newTokens] = process.argv;
const require = createRequire(import.meta.url);
require('@tensorflow/tfjs-backend-cpu');

if (backend === 'webgpu') {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const value = { gpu: create([]), userAgent: 'Node' };
  Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
}
require(`@tensorflow/tfjs-backend-${backend}`);
await tf.setBackend(backend);

const model = await ReneLMHeadModel.fromPretrained('rene-tiny');
// Longer than a chunk of the scan, which has 32 tokens.
const prompt = Array.from({ length: 40 }, (_, i) => (i * 37) % 2000);
const forward = model.forward([prompt], { logitsToKeep: 1 });
const logits = [...(await forward.data())].slice(0, 300);
forward.dispose();
const { sequences } = await model.generate(prompt, {
  maxNewTokens: Number(newTokens),
  minNewTokens: Number(newTokens),
});
const { numTensors } = tf.memory();
model.dispose();
const left = tf.memory().numTensors;
const result = { backend: tf.getBackend(), ids: sequences[0]?.slice(40), numTensors, left, logits };
console.log(JSON.stringify(result));
process.exit();
