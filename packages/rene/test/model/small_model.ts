// A model with random weights, and numbers of its logits.
import type * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { type ReneConfigOptions, reneConfig } from '../../src/config.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import type { RecurrentState } from '../../src/state.js';

export const sizes: ReneConfigOptions = {
  dModel: 16,
  nLayer: 4,
  vocabSize: 30,
  eosTokenId: 29,
  ssm: { headDim: 8, dState: 4 },
  attnLayerIdx: [1],
  attn: { numHeads: 2, slidingWindowLength: 5 },
  mlpLayerIdx: [2],
};
export const config = reneConfig(sizes);
export const ids = [
  [1, 2, 3, 4, 5, 6, 7],
  [9, 8, 7, 6, 5, 4, 3],
];

/** Runs with a model of random weights, and requires that all memory is freed. */
export async function withModel(
  backend: string,
  body: (model: ReneLMHeadModel) => unknown,
  seed: string | number = 'test',
): Promise<void> {
  const model = await ReneLMHeadModel.fromConfig(config, { backend, seed });
  try {
    await body(model);
  } finally {
    model.dispose();
  }
}

export async function numbers(tensor: tf.Tensor): Promise<number[]> {
  const values = Array.from(await tensor.data());
  tensor.dispose();
  return values;
}

export function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual.length).to.equal(expected.length);
  const errors = actual.map((value, i) => Math.abs(value - (expected[i] ?? Number.NaN)));
  expect(Math.max(...errors)).to.be.below(2e-5);
}

/** Logits of one more token after a state, which does not change. */
export async function afterOneMore(
  model: ReneLMHeadModel,
  state: RecurrentState,
): Promise<number[]> {
  const clone = state.clone();
  const logits = await numbers(model.forward([[11], [12]], { state: clone }));
  clone.dispose();
  return logits;
}
