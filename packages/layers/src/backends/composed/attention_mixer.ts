// AttentionMixer from the primitives: what the kernel runs composed, and what a gradient tape records.
import * as tf from '@tensorflow/tfjs-core';
import type { AttentionMixerAttrs, AttentionMixerInputs } from '../../kernel_names.js';
import { defineKernel, output, runKernel, runKernel1 } from '../../registry.js';

export function decomposeAttentionMixer(
  inputs: AttentionMixerInputs,
  attrs: AttentionMixerAttrs,
): tf.Tensor[] {
  const { x, ringK, ringV, residual } = inputs;
  const { inProj, outProj, heads, kvHeads, headDim, window, scale, positions } = attrs;
  const [batch = 0, length = 0] = x.shape;
  const projected = runKernel1(
    'PackedMatMul',
    {
      x,
      weight: inputs.inProj,
      'weight.scales': inputs['inProj.scales'],
      'weight.offsets': inputs['inProj.offsets'],
      bias: inputs.inProjBias,
    },
    { weight: inProj, activation: 'linear' },
  );
  const widths = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
  const [q = x, k = x, v = x] = tf
    .split(projected, widths, -1)
    .map((part) => tf.reshape(part, [batch, length, -1, headDim]));
  const attended = runKernel(
    'SlidingWindowAttention',
    { q, k, v, ringK, ringV },
    // As the products around it and the ring of a state do, where the backend has it so.
    { window, scale, positions, ...(inProj.format !== 'f32' && { rounds: true }) },
  );
  const y = runKernel1(
    'PackedMatMul',
    {
      x: tf.reshape(output(attended, 0), [batch, length, heads * headDim]),
      weight: inputs.outProj,
      'weight.scales': inputs['outProj.scales'],
      'weight.offsets': inputs['outProj.offsets'],
      bias: inputs.outProjBias,
      residual,
    },
    { weight: outProj, activation: 'linear' },
  );
  return [y, ...attended.slice(1)];
}

export const attentionMixerKernel = defineKernel('AttentionMixer', decomposeAttentionMixer);
