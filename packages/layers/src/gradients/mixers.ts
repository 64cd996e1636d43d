// Gradients of the fused mixers: the forward is recomputed from the primitives and differentiated. Only the
// inputs are saved. The ops record the primitives themselves while a tape is open, so this serves callers who
// run the kernels directly.
import * as tf from '@tensorflow/tfjs-core';
import { decomposeAttentionMixer } from '../backends/composed/attention_mixer.js';
import { decomposeGatedMLP } from '../backends/composed/gated_mlp.js';
import { decomposeMamba2Mixer } from '../backends/composed/mamba2_mixer.js';
import { defineGradient } from '../registry.js';
import { gradientsOf } from './outputs.js';
import { gradientsWithin } from './recompute.js';

defineGradient('Mamba2Mixer', (dys, inputs, attrs) =>
  recomputed(dys, inputs, () => decomposeMamba2Mixer(inputs, attrs)),
);

defineGradient('AttentionMixer', (dys, inputs, attrs) =>
  recomputed(dys, inputs, () => decomposeAttentionMixer(inputs, attrs)),
);

defineGradient('GatedMLP', (dys, inputs, attrs) =>
  recomputed(dys, inputs, () => [decomposeGatedMLP(inputs, attrs)]),
);

function recomputed(
  dys: readonly tf.Tensor[],
  inputs: tf.NamedTensorMap,
  run: () => tf.Tensor[],
): Record<string, () => tf.Tensor> {
  const sum = () => tf.addN(run().map((y, i) => tf.sum(tf.mul(y, dys[i] ?? 0))));
  return gradientsOf(inputs, gradientsWithin(sum, Object.values(inputs)));
}
