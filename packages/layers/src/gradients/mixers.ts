// Gradients of the fused mixers: the forward once more from the primitives, then back through them.
// The ops record the primitives themselves while a tape is open; this serves who runs the kernels
// directly, and saves nothing but the inputs.
import * as tf from '@tensorflow/tfjs-core';
import { decomposeAttentionMixer } from '../backends/composed/attention_mixer.js';
import { decomposeGatedMLP } from '../backends/composed/gated_mlp.js';
import { decomposeMamba2Mixer } from '../backends/composed/mamba2_mixer.js';
import { defineGradient } from '../registry.js';
import { gradientsOf } from './outputs.js';
import { gradientsWithin } from './recompute.js';

defineGradient(
  'Mamba2Mixer',
  [
    'x',
    'residual',
    'inProj',
    'inProj.scales',
    'inProj.offsets',
    'inProjBias',
    'convWeight',
    'convBias',
    'dtBias',
    'A',
    'D',
    'normWeight',
    'outProj',
    'outProj.scales',
    'outProj.offsets',
    'outProjBias',
    'convState',
    'ssmState',
  ],
  (dys, inputs, attrs) => recomputed(dys, inputs, () => decomposeMamba2Mixer(inputs, attrs)),
);

defineGradient(
  'AttentionMixer',
  [
    'x',
    'residual',
    'inProj',
    'inProj.scales',
    'inProj.offsets',
    'inProjBias',
    'outProj',
    'outProj.scales',
    'outProj.offsets',
    'outProjBias',
    'ringK',
    'ringV',
  ],
  (dys, inputs, attrs) => recomputed(dys, inputs, () => decomposeAttentionMixer(inputs, attrs)),
);

defineGradient(
  'GatedMLP',
  [
    'x',
    'residual',
    'inProj',
    'inProj.scales',
    'inProj.offsets',
    'inProjBias',
    'gateProj',
    'gateProj.scales',
    'gateProj.offsets',
    'gateProjBias',
    'normWeight',
    'outProj',
    'outProj.scales',
    'outProj.offsets',
    'outProjBias',
  ],
  (dys, inputs, attrs) => recomputed(dys, inputs, () => [decomposeGatedMLP(inputs, attrs)]),
);

function recomputed(
  dys: readonly tf.Tensor[],
  inputs: tf.NamedTensorMap,
  run: () => tf.Tensor[],
): Record<string, () => tf.Tensor> {
  const sum = () => tf.addN(run().map((y, i) => tf.sum(tf.mul(y, dys[i] ?? 0))));
  return gradientsOf(Object.keys(inputs), gradientsWithin(sum, Object.values(inputs)));
}
