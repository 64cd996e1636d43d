// CausalConv1d and its gradient from tfjs-core ops: W shifted copies, scaled and summed.
import * as tf from '@tensorflow/tfjs-core';
import type { KernelInputs } from '../../kernels.js';
import { defineKernel } from '../../registry.js';
import { activate, activateGrad } from './activations.js';

export const causalConv1dKernel = defineKernel(
  'CausalConv1d',
  (inputs, { activation, returnState }) => {
    const { length, width, channels, batch } = sizes(inputs);
    const history = withHistory(inputs);
    const y = activate(convolve(inputs, history), activation);
    if (!returnState) return [y];
    return [y, tf.slice(history, [0, length, 0], [batch, width, channels])];
  },
);

export const causalConv1dGradKernel = defineKernel(
  'CausalConv1dGrad',
  ({ dy, dstateOut, ...inputs }, { activation }) => {
    const { weight, bias, state } = inputs;
    const { batch, length, channels, width } = sizes(inputs);
    const history = withHistory(inputs);
    const dz =
      activation === 'linear' ? dy : activateGrad(convolve(inputs, history), dy, activation);

    // Input j of the history reaches outputs j - W ... j - 1: the same convolution, backwards.
    const padded = tf.pad(dz, [
      [0, 0],
      [width, width - 1],
      [0, 0],
    ]);
    const taps = [...Array(width).keys()];
    const terms = taps.map((w) =>
      tf.mul(
        tf.slice(padded, [0, width - 1 - w, 0], [batch, length + width, channels]),
        tap(weight, w),
      ),
    );
    let dhistory = tf.addN(terms);
    if (dstateOut) {
      dhistory = tf.add(
        dhistory,
        tf.pad(dstateOut, [
          [0, 0],
          [length, 0],
          [0, 0],
        ]),
      );
    }
    const dx = tf.slice(dhistory, [0, width, 0], [batch, length, channels]);
    const dweight = tf.stack(
      taps.map((w) => {
        const shifted = tf.slice(history, [0, w + 1, 0], [batch, length, channels]);
        return tf.sum(tf.mul(dz, shifted), [0, 1]);
      }),
      1,
    );
    return [
      dx,
      dweight,
      ...(bias ? [tf.sum(dz, [0, 1])] : []),
      ...(state ? [tf.slice(dhistory, [0, 0, 0], [batch, width, channels])] : []),
    ];
  },
);

function sizes({ x, weight }: KernelInputs<'CausalConv1d'>) {
  const [batch = 0, length = 0, channels = 0] = x.shape;
  return { batch, length, channels, width: weight.shape[1] ?? 0 };
}

/** The W inputs before x, then x: (B, W + L, D). */
function withHistory({ x, weight, state }: KernelInputs<'CausalConv1d'>): tf.Tensor {
  if (state) return tf.concat([state, x], 1);
  return tf.pad(x, [
    [0, 0],
    [weight.shape[1] ?? 0, 0],
    [0, 0],
  ]);
}

/** bias + sum over w of history[t + 1 + w] * weight[:, w], before the activation. */
function convolve(inputs: KernelInputs<'CausalConv1d'>, history: tf.Tensor): tf.Tensor {
  const { batch, length, channels, width } = sizes(inputs);
  const terms = [...Array(width).keys()].map((w) =>
    tf.mul(tf.slice(history, [0, w + 1, 0], [batch, length, channels]), tap(inputs.weight, w)),
  );
  const sum = tf.addN(terms);
  return inputs.bias ? tf.add(sum, inputs.bias) : sum;
}

/** weight[:, w] as (D) */
function tap(weight: tf.Tensor, w: number): tf.Tensor {
  return tf.reshape(tf.slice(weight, [0, w], [weight.shape[0] ?? 0, 1]), [-1]);
}
