// AttentionMixer from the primitives: the composed kernel, and what a gradient tape records.
import * as tf from '@tensorflow/tfjs-core';
import type { AttentionMixerAttrs, KernelInputs } from '../../kernels.js';
import { defineKernel, output, runKernel, runKernel1 } from '../../registry.js';
import { rotate } from './rotary.js';

export function decomposeAttentionMixer(
  inputs: KernelInputs<'AttentionMixer'>,
  attrs: AttentionMixerAttrs,
): tf.Tensor[] {
  const { x, cacheK, cacheV, residual } = inputs;
  const { inProj, outProj, heads, kvHeads, headDim, window, scale, positions } = attrs;
  const [batch = 0, length = 0] = x.shape;
  const projected = runKernel1(
    'PackedMatMul',
    {
      x,
      weight: inputs.inProj,
      bias: inputs.inProjBias,
    },
    { weight: inProj, activation: 'linear' },
  );
  const widths = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
  const [q = x, k = x, v = x] = tf
    .split(projected, widths, -1)
    .map((part) => tf.reshape(part, [batch, length, -1, headDim]));
  const { rotary } = inputs;
  const turned = rotary ? rotate([q, k], rotary, positions) : [q, k];
  const attended = runKernel(
    'SlidingWindowAttention',
    { q: turned[0] ?? q, k: turned[1] ?? k, v, cacheK, cacheV },
    // Round like the surrounding matmuls and the KV cache, if the backend does.
    { window, scale, positions, ...(inProj.format !== 'f32' && { rounds: true }) },
  );
  const y = runKernel1(
    'PackedMatMul',
    {
      x: tf.reshape(output(attended, 0), [batch, length, heads * headDim]),
      weight: inputs.outProj,
      bias: inputs.outProjBias,
      residual,
    },
    { weight: outProj, activation: 'linear' },
  );
  return [y, ...attended.slice(1)];
}

export const attentionMixerKernel = defineKernel('AttentionMixer', decomposeAttentionMixer);
