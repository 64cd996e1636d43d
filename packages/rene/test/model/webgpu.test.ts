// rene-tiny on 'webgpu': prefill, compiled decode step, packed weights.
// RENE_TEST_WEBGPU_TOKENS=200 decodes more tokens than a software GPU does in a few seconds.
import { skipWithoutWebGpu } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { ReneLMHeadModel } from '../../src/model.js';

const newTokens = Number(process.env.RENE_TEST_WEBGPU_TOKENS ?? 6);
const prompt = Array.from({ length: 12 }, (_, i) => (i * 37) % 2000);

/** Logits of the prompt, and the ids that follow it greedily. */
async function run(backend: string, dtype: 'f32' | 'int4') {
  const model = await ReneLMHeadModel.fromPretrained('rene-tiny', { backend, dtype });
  const logits = model.forward([prompt], {});
  const values = Float32Array.from(await logits.data());
  logits.dispose();
  const options = { maxNewTokens: newTokens, minNewTokens: newTokens };
  const { sequences } = await model.generate(prompt, options);
  model.dispose();
  expect(tf.memory().numTensors, 'tensors left behind').to.equal(0);
  return { values, ids: sequences[0]?.slice(prompt.length) };
}

describe('webgpu: rene-tiny', () => {
  before(skipWithoutWebGpu);

  it('f32: logits within 1e-4 of simd, the same greedy ids', async () => {
    const expected = await run('simd', 'f32');
    const found = await run('webgpu', 'f32');
    let worst = 0;
    expected.values.forEach((v, i) => {
      worst = Math.max(worst, Math.abs(v - (found.values[i] ?? Number.NaN)));
    });
    expect(worst).to.be.below(1e-4);
    expect(found.ids).to.deep.equal(expected.ids);
    expect(new Set(found.ids).size).to.be.above(1);
  });
});
