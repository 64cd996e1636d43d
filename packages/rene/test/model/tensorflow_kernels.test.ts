// Rene with our ops inside a real TensorFlow, compared with TensorFlow's composed ops.
import { useBackend } from '@rene-js/layers';
import {
  type TensorflowKernels,
  tensorflowInfo,
  traceTensorflowOps,
  useTensorflowKernels,
} from '@rene-js/layers/tensorflow';
import { backends } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { config } from './small_model.js';

// On a CPU the kernels run on the emulated device, which exists for this platform.
const isPossible =
  backends.includes('tensorflow') && process.platform === 'linux' && process.arch === 'x64';

(isPossible ? describe : describe.skip)('Rene by ops of our own inside TensorFlow', () => {
  let usual: TensorflowKernels;
  let model: ReneLMHeadModel;
  before(async () => {
    await useBackend('tensorflow');
    usual = tensorflowInfo().kernels;
    await useTensorflowKernels('custom');
    model = await ReneLMHeadModel.fromConfig(config, { backend: 'tensorflow', dtype: 'f32' });
  });
  after(async () => {
    model.dispose();
    await useTensorflowKernels(usual);
  });

  const numbers = (tensor: tf.Tensor) => {
    const values = Array.from(tensor.dataSync());
    tensor.dispose();
    return values;
  };

  /** Logits of two prompts, then of the tokens that follow. */
  function logits(): number[] {
    const state = model.initialState(2);
    const prompts = [
      [1, 2, 3, 4, 5, 6, 7],
      [9, 8, 7, 6, 5, 4, 3],
    ];
    const found = numbers(model.forward(prompts, { state }));
    for (let i = 0; i < 12; i++) {
      const ids = [[i], [(7 * i) % 30]];
      found.push(...numbers(model.forward(ids, { state })));
    }
    state.dispose();
    return found;
  }

  it('has the composed logits, with a fraction of the ops', async () => {
    const own = logits();
    const state = model.initialState(1);
    const step = () => model.forward([[1]], { state }).dispose();
    const ops = traceTensorflowOps(step);
    await useTensorflowKernels('composed');
    const composed = logits();
    const composedOps = traceTensorflowOps(step);
    await useTensorflowKernels('custom');
    state.dispose();
    expect(own.length).to.equal(composed.length);
    own.forEach((value, i) => {
      expect(value, `logit ${i}`).to.be.closeTo(composed[i] ?? Number.NaN, 1e-4);
    });
    expect(ops.some((name) => name.startsWith('Rene'))).to.equal(true);
    expect(composedOps.some((name) => name.startsWith('Rene'))).to.equal(false);
    expect(ops.length * 8).to.be.lessThan(composedOps.length);
  });

  it('generates the composed ids', async () => {
    const options = { maxNewTokens: 24, topK: 10, seed: 3 };
    const own = await model.generate([1, 2, 3], options);
    await useTensorflowKernels('composed');
    const composed = await model.generate([1, 2, 3], options);
    await useTensorflowKernels('custom');
    expect(own.sequences).to.deep.equal(composed.sequences);
  });

  it('uses no more memory after 1,000 tokens', async function () {
    this.timeout(120_000);
    const state = model.initialState(1);
    const step = (i: number) => model.forward([[i % 30]], { state, logitsToKeep: 1 }).dispose();
    // Until the cache is full and every op has run with its final attributes.
    for (let i = 0; i < 100; i++) step(i);
    const before = tf.memory();
    const resident = process.memoryUsage().rss;
    for (let i = 0; i < 1000; i++) step(i);
    const after = tf.memory();
    expect(after.numTensors).to.equal(before.numTensors);
    expect(after.numDataBuffers).to.equal(before.numDataBuffers);
    expect(after.numBytes).to.equal(before.numBytes);
    // A leak of one tensor per op, about 10 ops per token, would be 10,000 tensors inside TensorFlow.
    expect(process.memoryUsage().rss - resident, 'resident bytes').to.be.lessThan(64 << 20);
    expect(state.positions).to.deep.equal([1100]);
    state.dispose();
  });
});
