// Mamba2Mixer from the primitives: the composed kernel, and what a gradient tape records.
import * as tf from '@tensorflow/tfjs-core';
import type { KernelInputs, Mamba2MixerAttrs } from '../../kernels.js';
import { causalConv1d } from '../../ops/causal_conv1d.js';
import { gatedActivation } from '../../ops/gated_activation.js';
import { gatedRmsNorm } from '../../ops/gated_rms_norm.js';
import { ssdScan } from '../../ops/ssd_scan.js';
import { defineKernel, runKernel1 } from '../../registry.js';

/**
 * Returns [y] or, if the inputs hold states, [y, convState, ssmState].
 *
 * @param onProjected called with the output of in_proj (B, L, projection), for `mamba2States`
 */
export function decomposeMamba2Mixer(
  inputs: KernelInputs<'Mamba2Mixer'>,
  attrs: Mamba2MixerAttrs,
  onProjected?: (projected: tf.Tensor) => void,
): tf.Tensor[] {
  const { dSsm, nGroups } = attrs;
  const [batch = 0, length = 0] = inputs.x.shape;
  const projected = runKernel1(
    'PackedMatMul',
    { x: inputs.x, ...linearInputs(inputs, 'inProj') },
    { weight: attrs.inProj, activation: 'linear' },
  );
  onProjected?.(projected);
  const { z0, x0, z, conv, scan } = convolveAndScan(projected, inputs, attrs);
  let y = tf.reshape(scan.y, [batch, length, dSsm]);
  y = inputs.normWeight
    ? gatedRmsNorm(y, need(z), inputs.normWeight, {
        groupSize: attrs.normGroupSize ?? dSsm / nGroups,
        eps: attrs.eps,
        normBeforeGate: attrs.normBeforeGate,
      })
    : gatedActivation(need(z), y, 'silu');
  if (z0 && x0) y = tf.concat([gatedActivation(z0, x0, 'silu'), y], -1);

  const out = runKernel1(
    'PackedMatMul',
    { x: y, ...linearInputs(inputs, 'outProj'), residual: inputs.residual },
    { weight: attrs.outProj, activation: 'linear' },
  );
  return conv.state && scan.state ? [out, conv.state, scan.state] : [out];
}

/** The states after tokens whose output of in_proj is known. The inputs hold the states before them. */
export function mamba2States(
  projected: tf.Tensor,
  inputs: Omit<KernelInputs<'Mamba2Mixer'>, 'x'>,
  attrs: Mamba2MixerAttrs,
): { convState: tf.Tensor; ssmState: tf.Tensor } {
  return tf.tidy(() => {
    const { conv, scan } = convolveAndScan(projected, inputs, attrs);
    return { convState: need(conv.state), ssmState: need(scan.state) };
  });
}

function convolveAndScan(
  projected: tf.Tensor,
  inputs: Omit<KernelInputs<'Mamba2Mixer'>, 'x'>,
  attrs: Mamba2MixerAttrs,
) {
  const { dSsm, dInner, headDim, dState, nGroups } = attrs;
  const [batch = 0, length = 0] = projected.shape;
  const heads = dSsm / headDim;
  const dMlp = dInner - dSsm;
  const hasState = inputs.convState !== undefined;
  const convDim = dSsm + 2 * nGroups * dState;
  const [z0, x0, z, xBC, dt] = splitLast(projected, [dMlp, dMlp, dSsm, convDim, heads]);
  const conv = causalConv1d(need(xBC), inputs.convWeight, {
    bias: inputs.convBias,
    state: inputs.convState,
    returnState: hasState,
  });
  const [x, B, C] = splitLast(conv.y, [dSsm, nGroups * dState, nGroups * dState]);
  const scan = ssdScan(
    tf.reshape(need(x), [batch, length, heads, headDim]),
    need(dt),
    inputs.A,
    tf.reshape(need(B), [batch, length, nGroups, dState]),
    tf.reshape(need(C), [batch, length, nGroups, dState]),
    {
      D: inputs.D,
      dtBias: inputs.dtBias,
      state: inputs.ssmState,
      dtLimit: [attrs.dtMin, attrs.dtMax],
      chunkSize: attrs.chunkSize,
      returnState: hasState,
    },
  );
  return { z0, x0, z, conv, scan };
}

export const mamba2MixerKernel = defineKernel('Mamba2Mixer', (inputs, attrs) =>
  decomposeMamba2Mixer(inputs, attrs),
);

/** The inputs of the linear map `name` of a mixer, as PackedMatMul takes them. */
function linearInputs(
  inputs: Omit<KernelInputs<'Mamba2Mixer'>, 'x'>,
  name: 'inProj' | 'outProj',
): Omit<KernelInputs<'PackedMatMul'>, 'x'> {
  return {
    weight: inputs[name],
    bias: inputs[`${name}Bias`],
  };
}

/** Splits the last axis into parts of these sizes; a part of size 0 is undefined. */
function splitLast(t: tf.Tensor, sizes: number[]): (tf.Tensor | undefined)[] {
  const parts = tf.split(
    t,
    sizes.filter((size) => size > 0),
    -1,
  );
  let next = 0;
  return sizes.map((size) => (size > 0 ? parts[next++] : undefined));
}

function need(t: tf.Tensor | undefined): tf.Tensor {
  if (!t) throw new Error('a part of in_proj, or a state, is missing');
  return t;
}
