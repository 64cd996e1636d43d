// rene-tiny on 'webgpu': prefill, compiled decode step, packed weights. RENE_TEST_WEBGPU_TOKENS=200 decodes
// more tokens, which takes long on a software GPU.
import { webGpuInfo } from '@rene-js/layers/webgpu';
import { goldenPath, skipWithoutWebGpu } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { reneConfig } from '../../src/config.js';
import { generate } from '../../src/generation/generate.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';

const newTokens = Number(process.env.RENE_TEST_WEBGPU_TOKENS ?? 6);
const prompt = Array.from({ length: 12 }, (_, i) => (i * 37) % 2000);

/** The last of each three blocks, but one. */
const mlpBlocks = Array.from({ length: 16 }, (_, i) => 3 * i + 2);

/** Logits of the prompt, and the greedy ids that follow. */
async function run(backend: string, dtype: 'f32' | 'int4') {
  const { numTensors } = tf.memory();
  const model = await ReneLMHeadModel.fromPretrained('rene-tiny', { backend, dtype });
  const logits = model.forward([prompt], {});
  const values = Float32Array.from(await logits.data());
  logits.dispose();
  const options = { maxNewTokens: newTokens, minNewTokens: newTokens };
  const { sequences } = await model.generate(prompt, options);
  model.dispose();
  expect(tf.memory().numTensors, 'tensors left behind').to.equal(numTensors);
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

  it('int4: a decode step that feeds its sampled token equals forward', async () => {
    const model = await ReneLMHeadModel.fromPretrained(goldenPath('tiny-gqa'), {
      backend: 'webgpu',
      dtype: 'int4',
    });
    const prompts = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11, 12], [13]];
    const plain = {
      config: model.config,
      forward: model.forward.bind(model),
      initialState: model.initialState.bind(model),
    };
    for (const options of [{}, { temperature: 1.2, topK: 12, topP: 0.9, seed: 'a' }]) {
      const all = { ...options, maxNewTokens: 5, eosTokenId: null };
      const compiled = await model.generate(prompts, all);
      const forward = await generate(plain, prompts, all);
      expect(compiled.sequences).to.deep.equal(forward.sequences);
    }
    model.dispose();
  });

  it("uses at most 140 launches per token for Rene's blocks, and frees its memory", async () => {
    const blocks = { attnLayerIdx: [6, 18, 30, 42], mlpLayerIdx: mlpBlocks };
    const config = reneConfig({
      ...{ ...blocks, dModel: 16, nLayer: 48, vocabSize: 40, eosTokenId: 39 },
      ssm: { headDim: 8, dState: 8 },
      attn: { numHeads: 2, slidingWindowLength: 8 },
    });
    const model = await ReneLMHeadModel.fromConfig(config, { backend: 'webgpu' });
    const state = model.initialState(1);
    const before = webGpuInfo().allocatedBytes;
    const step = model.compileStep(8);
    if (!step) throw new Error('no step');
    const kernels = [];
    for (let row = 0; row < 8; row++) {
      step.join(state.layers, 0, 0);
      kernels.push(step.kernels());
    }
    expect(kernels).to.deep.equal(Array(8).fill(28 * 3 + 16 * 2 + 4 * 3 + 3));
    step.dispose();
    // The rest belongs to the pool and is reused.
    const after = webGpuInfo().allocatedBytes;
    const again = model.compileStep(8);
    again?.dispose();
    expect(webGpuInfo().allocatedBytes).to.equal(after);
    expect(after - before).to.be.below(4 << 20);
    state.dispose();
    model.dispose();
  });
});
