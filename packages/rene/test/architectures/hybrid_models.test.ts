// Models of the hybrids: prompts in chunks, batches of different lengths, training, saving.

import { useBackend } from '@rene-js/layers';
import { goldenPath, leavesNothing, temporaryFolders, testBackend } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { AutoModelForCausalLM } from '../../src/auto_model.js';
import { ConfigError } from '../../src/errors.js';
import { nextTokenLoss } from '../../src/loss.js';
import type { CausalLM } from '../../src/model.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';

const names = [
  ...['bamba', 'falcon-h1', 'falcon-h1-norm-tied', 'granite-h-rope'],
  ...['mamba2-hf-bf16-tied-groups', 'nemotron-h'],
];
const ids = [5, 17, 3, 44, 9, 23, 60, 8, 71, 12, 2, 31];
const load = (name: string, options: object = {}) =>
  AutoModelForCausalLM.fromPretrained(goldenPath(`hybrids/${name}`), {
    backend: testBackend,
    dtype: 'f32',
    ...options,
  });

async function logitsOf(model: CausalLM, rows: number[][] = [ids]): Promise<Float32Array> {
  const logits = model.forward(rows);
  const values = await logits.data<'float32'>();
  logits.dispose();
  return Float32Array.from(values);
}

function worst(a: Float32Array, b: Float32Array): number {
  expect(a.length).to.equal(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? Number.NaN))), 0);
}

describe('models of hybrids', () => {
  const newFolder = temporaryFolders();

  it('ReneLMHeadModel refuses them and names the class that loads them', async () => {
    let error: unknown;
    try {
      await ReneLMHeadModel.fromPretrained(goldenPath('hybrids/bamba'), { backend: testBackend });
    } catch (caught) {
      error = caught;
    }
    expect(error).to.be.instanceOf(ConfigError);
    expect(String(error)).to.contain('AutoModelForCausalLM').and.to.contain('bamba');
  });

  it('AutoModelForCausalLM loads Rene with its own class', async () => {
    const model = await AutoModelForCausalLM.fromPretrained(goldenPath('tiny-hybrid'), {
      backend: testBackend,
    });
    expect(model).to.be.instanceOf(ReneLMHeadModel);
    model.dispose();
  });

  for (const name of names) {
    it(`${name}: a prompt in chunks and in a mixed batch gives the same continuation`, async () => {
      const model = await load(name);
      await leavesNothing(async () => {
        const options = { maxNewTokens: 6, eosTokenId: null };
        const [whole = []] = (await model.generate([ids], options)).sequences;
        const batch = await model.generate([ids.slice(0, 5), ids, ids.slice(3)], options);
        expect(batch.sequences[1]).to.deep.equal(whole);
        const state = await model.prefill(ids.slice(0, 7));
        const { sequences } = await model.generate(ids.slice(7), { ...options, state });
        expect(sequences[0]?.slice(-6)).to.deep.equal(whole.slice(-6));
        state.dispose();
      });
      model.dispose();
    });

    it(`${name}: a model in training gives the same logits, and its gradient is right`, async () => {
      const model = await load(name);
      const trained = await load(name, { trainable: true });
      expect(worst(await logitsOf(model), await logitsOf(trained))).to.be.below(2e-5);
      model.dispose();
      await useBackend(testBackend);
      const variables = trained.trainableVariables;
      const loss = () => nextTokenLoss(trained, tf.tensor2d([ids], undefined, 'int32'));
      const { value, grads } = tf.variableGrads(loss, [...variables.values()]);
      value.dispose();
      // Along the gradient, the loss changes at the rate of the gradient's norm.
      const step = 3e-4;
      let expected = 0;
      const before = await lossOf(loss);
      for (const [parameter, variable] of variables) {
        const gradient = grads[variable.name];
        if (!gradient) throw new Error(`no gradient for ${parameter}`);
        const square = tf.tidy(() => tf.sum(tf.square(gradient)));
        const [length = 0] = await square.data();
        square.dispose();
        expect(length, parameter).to.be.above(0);
        expected += length;
      }
      const scale = step / Math.sqrt(expected);
      for (const direction of [1, -2]) {
        for (const variable of variables.values()) {
          const gradient = grads[variable.name];
          if (gradient)
            tf.tidy(() => variable.assign(tf.add(variable, tf.mul(gradient, direction * scale))));
        }
        const after = await lossOf(loss);
        const sign = Math.sign(direction);
        const slope = (sign * (after - before)) / step;
        expect(slope / Math.sqrt(expected)).to.be.closeTo(1, 0.08);
      }
      tf.dispose(grads);
      trained.dispose();
    });

    it(`${name}: saved and loaded again it is the same, in floats and quantised`, async () => {
      const model = await load(name);
      const expected = await logitsOf(model);
      const dir = `${await newFolder()}/saved`;
      await model.save(dir);
      const same = await AutoModelForCausalLM.fromPretrained(dir, { backend: testBackend });
      expect(worst(await logitsOf(same), expected)).to.be.below(1e-5);
      same.dispose();
      model.dispose();
      if (testBackend !== 'simd') return;
      const codes = await load(name, { dtype: 'int8' });
      const rounded = await logitsOf(codes);
      const folder = `${await newFolder()}/int8`;
      await codes.save(folder, { dtype: 'int8' });
      const again = await AutoModelForCausalLM.fromPretrained(folder, { backend: testBackend });
      const largest = rounded.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      // Matrices of 96 columns are not whole groups: the file has their float values, which f32 matmuls do
      // not round.
      const isWhole = /mamba2|nemotron/.test(name);
      expect(worst(await logitsOf(again), rounded) / largest).to.be.below(isWhole ? 1e-5 : 0.15);
      expect(worst(rounded, expected) / largest).to.be.below(0.25);
      codes.dispose();
      again.dispose();
    });
  }

  it('fromConfig creates any of them with random weights', async () => {
    const model = await load('falcon-h1');
    const { config } = model;
    model.dispose();
    const random = await AutoModelForCausalLM.fromConfig(config, { backend: testBackend, seed: 3 });
    const logits = await logitsOf(random);
    expect(logits.every(Number.isFinite)).to.equal(true);
    random.dispose();
  });
});

async function lossOf(loss: () => tf.Scalar): Promise<number> {
  const value = tf.tidy(loss);
  const [number = Number.NaN] = await value.data();
  value.dispose();
  return number;
}
