// A small Mamba-2 mixer with random weights: two groups, an ungated MLP part, all biases.
import { type Mamba2MixerSizes, type Mamba2MixerWeights, rowsWeight } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';

export const mamba2Sizes: Mamba2MixerSizes = {
  dSsm: 8,
  dInner: 12,
  headDim: 2,
  dState: 3,
  nGroups: 2,
  normBeforeGate: false,
  eps: 1e-5,
  dtMin: 0,
  dtMax: Number.POSITIVE_INFINITY,
  chunkSize: 4,
};

const heads = mamba2Sizes.dSsm / mamba2Sizes.headDim;
const convDim = mamba2Sizes.dSsm + 2 * mamba2Sizes.nGroups * mamba2Sizes.dState;
const projection = 2 * (mamba2Sizes.dInner - mamba2Sizes.dSsm) + mamba2Sizes.dSsm + convDim + heads;

/** The caller frees them, with tf.dispose or a scope around the call. */
export function mamba2Weights(dModel: number): Mamba2MixerWeights {
  const random = (shape: number[], seed: number) => tf.randomNormal(shape, 0, 0.5, 'float32', seed);
  return {
    inProj: rowsWeight(random([projection, dModel], 1)),
    inProjBias: random([projection], 2),
    convWeight: random([convDim, 4], 3),
    convBias: random([convDim], 4),
    dtBias: random([heads], 5),
    A: tf.neg(tf.exp(random([heads], 6))),
    D: random([heads, mamba2Sizes.headDim], 7),
    normWeight: random([mamba2Sizes.dSsm], 8),
    outProj: rowsWeight(random([dModel, mamba2Sizes.dInner], 9)),
    outProjBias: random([dModel], 10),
  };
}
