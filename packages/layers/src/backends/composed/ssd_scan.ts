// SsdScan from tfjs-core ops: chunks of matrix products for many tokens, the recurrence for one.
//
// Within a chunk, with a = dt A and s the running sum of a (arXiv 2405.21060, section 6):
//   y[i] = sum over j <= i of exp(s[i] - s[j]) (C[i] . B[j]) dt[j] x[j]  +  exp(s[i]) state C[i]
// Axes: M = batch x chunks, T tokens of a chunk, G groups, R heads of a group, P, N.
import * as tf from '@tensorflow/tfjs-core';
import type { KernelInputs, SsdScanAttrs } from '../../kernels.js';
import { defineKernel } from '../../registry.js';
import { softplus } from './activations.js';

export const ssdScanKernel = defineKernel('SsdScan', (inputs, attrs) => {
  const { y, state } =
    inputs.x.shape[1] === 1 ? recurrentStep(inputs, attrs) : chunkedScan(inputs, attrs);
  return attrs.returnState ? [y, state] : [y];
});

/** dt as the recurrence uses it: bias, softplus, limits. */
export function effectiveDt(
  { dt, dtBias }: Pick<KernelInputs<'SsdScan'>, 'dt' | 'dtBias'>,
  { dtSoftplus, dtMin, dtMax }: SsdScanAttrs,
): tf.Tensor {
  let t = dtBias ? tf.add(dt, dtBias) : tf.clone(dt);
  if (dtSoftplus) t = softplus(t);
  if (dtMin > 0) t = tf.maximum(t, dtMin);
  if (dtMax < Number.POSITIVE_INFINITY) t = tf.minimum(t, dtMax);
  return t;
}

export interface SsdSizes {
  batch: number;
  length: number;
  /** Tokens of a chunk: chunkSize, or the length where that is shorter. */
  T: number;
  chunks: number;
  M: number;
  H: number;
  G: number;
  R: number;
  P: number;
  N: number;
}

export function ssdSizes({ x, B }: KernelInputs<'SsdScan'>, { chunkSize }: SsdScanAttrs): SsdSizes {
  const [batch = 0, length = 0, H = 0, P = 0] = x.shape;
  const [, , G = 0, N = 0] = B.shape;
  const T = Math.min(chunkSize, length);
  const chunks = Math.ceil(length / T);
  return { batch, length, T, chunks, M: batch * chunks, H, G, R: H / G, P, N };
}

/** (B, L, ...) as (M, T, ...), padded with zeros: a dt of 0 neither decays nor adds. */
export function inChunks(t: tf.Tensor, { T, chunks, length, M }: SsdSizes): tf.Tensor {
  const missing = chunks * T - length;
  const rest = t.shape.slice(2);
  const none = rest.map((): [number, number] => [0, 0]);
  const padded = missing === 0 ? t : tf.pad(t, [[0, 0], [0, missing], ...none]);
  return tf.reshape(padded, [M, T, ...rest]);
}

/** Inverse: (M, T, ...) as (B, L, ...). */
export function fromChunks(t: tf.Tensor, { T, chunks, length, batch }: SsdSizes): tf.Tensor {
  const rest = t.shape.slice(2);
  const joined = tf.reshape(t, [batch, chunks * T, ...rest]);
  const begin = joined.shape.map(() => 0);
  return chunks * T === length ? joined : tf.slice(joined, begin, [batch, length, ...rest]);
}

/** Tensors of all chunks that the scan and its gradient share. */
export interface ChunkTensors {
  /** (M, G, R, T, P): dt x */
  dtx: tf.Tensor;
  /** (M, G, R, T): running sum of dt A, including this token */
  s: tf.Tensor;
  /** (M, G, R, 1): the sum over the chunk */
  total: tf.Tensor;
  /** (M, G, R, T): the sum over the tokens after this one */
  toEnd: tf.Tensor;
  /** (M, G, R, T, T): exp(s[i] - s[j]) where j <= i, else 0 */
  decay: tf.Tensor;
  /** (M, G, T, N) */
  B: tf.Tensor;
  C: tf.Tensor;
  /** (M, G, 1, T, T): C[i] . B[j] */
  CB: tf.Tensor;
}

export function chunkTensors(
  inputs: KernelInputs<'SsdScan'>,
  dt: tf.Tensor,
  sizes: SsdSizes,
): ChunkTensors {
  const { M, T, G, R, P } = sizes;
  const dtx = tf.mul(inputs.x, tf.expandDims(dt, -1));
  const a = inChunks(tf.mul(dt, inputs.A), sizes);
  const steps = tf.transpose(tf.reshape(a, [M, T, G, R]), [0, 2, 3, 1]);
  const s = runningSum(steps);
  const B = tf.transpose(inChunks(inputs.B, sizes), [0, 2, 1, 3]);
  const C = tf.transpose(inChunks(inputs.C, sizes), [0, 2, 1, 3]);
  // s[i] - s[j] computed as a sum of a[k] for j < k <= i: a difference of two large sums would lose the
  // digits of a small one.
  const lower = causalMask(T);
  const upTo = tf.mul(tf.expandDims(steps, 3), lower);
  const differences = runningSum(upTo, { exclusive: true, reverse: true });
  return {
    dtx: tf.transpose(tf.reshape(inChunks(dtx, sizes), [M, T, G, R, P]), [0, 2, 3, 1, 4]),
    s,
    total: tf.slice(s, [0, 0, 0, T - 1], [M, G, R, 1]),
    toEnd: runningSum(steps, { exclusive: true, reverse: true }),
    // Above the diagonal the sums are empty, so that nothing overflows before it is masked.
    decay: tf.mul(tf.exp(differences), lower),
    B,
    C,
    CB: tf.expandDims(tf.matMul(C, B, false, true), 2),
  };
}

/**
 * The running sum along the last axis. tfjs's WebGPU backend supports cumsum up to rank 4 only, and its
 * reverse sums of more than 8 values are wrong: hence the matrix and the reversals.
 */
export function runningSum(t: tf.Tensor, { exclusive = false, reverse = false } = {}): tf.Tensor {
  const rows = tf.reshape(t, [-1, t.shape.at(-1) ?? 0]);
  const sums = reverse
    ? tf.reverse(tf.cumsum(tf.reverse(rows, 1), 1, exclusive), 1)
    : tf.cumsum(rows, 1, exclusive);
  return tf.reshape(sums, t.shape);
}

/** (T, T): 1 where j <= i, 0 above the diagonal. */
export function causalMask(T: number): tf.Tensor {
  const mask = new Float32Array(T * T);
  for (let i = 0; i < T; i++) mask.fill(1, i * T, i * T + i + 1);
  return tf.tensor2d(mask, [T, T]);
}

/** What the chunk adds to the state: sum over j of exp(total - s[j]) dt[j] x[j] B[j]^T, (M, G, R, P, N). */
function stateContributions({ dtx, toEnd, B }: ChunkTensors, sizes: SsdSizes): tf.Tensor {
  const { M, T, G, R, P, N } = sizes;
  const weighted = tf.mul(dtx, tf.expandDims(tf.exp(toEnd), -1));
  // The heads of a group share B: they are rows of one matmul.
  const rows = tf.reshape(tf.transpose(weighted, [0, 1, 2, 4, 3]), [M, G, R * P, T]);
  return tf.reshape(tf.matMul(rows, B), [M, G, R, P, N]);
}

/**
 * The states before each chunk, (M, G, R, P, N), and after the last, (B, G, R, P, N): a loop over chunks
 * that only scales and adds.
 */
export function statesOfChunks(
  tensors: ChunkTensors,
  initial: tf.Tensor | undefined,
  sizes: SsdSizes,
): { before: tf.Tensor; last: tf.Tensor } {
  const { batch, chunks, G, R, P, N, M } = sizes;
  const contributions = tf.unstack(
    tf.reshape(stateContributions(tensors, sizes), [batch, chunks, G * R, P, N]),
    1,
  );
  const decays = tf.unstack(tf.reshape(tf.exp(tensors.total), [batch, chunks, G * R, 1, 1]), 1);
  const before: tf.Tensor[] = [];
  let state = initial ?? tf.zeros([batch, G * R, P, N]);
  contributions.forEach((contribution, c) => {
    before.push(state);
    state = tf.add(tf.mul(state, decays[c] ?? 0), contribution);
  });
  return {
    before: tf.reshape(tf.stack(before, 1), [M, G, R, P, N]),
    last: tf.reshape(state, [batch, G, R, P, N]),
  };
}

function chunkedScan(
  inputs: KernelInputs<'SsdScan'>,
  attrs: SsdScanAttrs,
): { y: tf.Tensor; state: tf.Tensor } {
  const sizes = ssdSizes(inputs, attrs);
  const { batch, M, T, G, R, H, P, N } = sizes;
  const tensors = chunkTensors(inputs, effectiveDt(inputs, attrs), sizes);
  const { before, last } = statesOfChunks(tensors, inputs.state, sizes);

  const within = tf.matMul(tf.mul(tensors.decay, tensors.CB), tensors.dtx);
  const states = tf.reshape(before, [M, G, R * P, N]);
  const carried = tf.reshape(tf.matMul(states, tensors.C, false, true), [M, G, R, P, T]);
  const fromState = tf.mul(
    tf.transpose(carried, [0, 1, 2, 4, 3]),
    tf.expandDims(tf.exp(tensors.s), -1),
  );
  const heads = tf.transpose(tf.add(within, fromState), [0, 3, 1, 2, 4]);
  const y = fromChunks(tf.reshape(heads, [M, T, H, P]), sizes);
  return { y: addSkip(y, inputs), state: tf.reshape(last, [batch, H, P, N]) };
}

/**
 * One token: state = exp(dt A) state + dt x B^T, y = state C. Matmuls replace broadcasts, which are slow on
 * tfjs's CPU backend if the small operand has inner axes.
 */
function recurrentStep(
  inputs: KernelInputs<'SsdScan'>,
  attrs: SsdScanAttrs,
): { y: tf.Tensor; state: tf.Tensor } {
  const { batch, G, R, H, P, N } = ssdSizes(inputs, attrs);
  const dt = tf.reshape(effectiveDt(inputs, attrs), [batch, H]);
  const dtx = tf.mul(tf.reshape(inputs.x, [batch * H, P]), overColumns(dt, P));
  const B = tf.reshape(inputs.B, [batch, G, 1, N]);
  const C = tf.reshape(inputs.C, [batch, G, N, 1]);
  let state: tf.Tensor = tf.matMul(tf.reshape(dtx, [batch, G, R * P, 1]), B);
  if (inputs.state) {
    const decay = overColumns(tf.exp(tf.mul(dt, inputs.A)), P * N);
    const decayed = tf.mul(tf.reshape(inputs.state, [batch * H, P * N]), decay);
    state = tf.add(tf.reshape(decayed, [batch, G, R * P, N]), state);
  }
  const y = tf.reshape(tf.matMul(state, C), [batch, 1, H, P]);
  return { y: addSkip(y, inputs), state: tf.reshape(state, [batch, H, P, N]) };
}

/** Repeats each value along a row: (values, columns). */
export function overColumns(values: tf.Tensor, columns: number): tf.Tensor {
  return tf.matMul(tf.reshape(values, [-1, 1]), tf.ones([1, columns]));
}

/** y + D x */
function addSkip(y: tf.Tensor, { x, D }: KernelInputs<'SsdScan'>): tf.Tensor {
  return D ? tf.add(y, tf.mul(x, skipOf(D))) : y;
}

/** D in the shape that multiplies (B, L, H, P): (H, 1) or (H, P). */
export function skipOf(D: tf.Tensor): tf.Tensor {
  return D.rank === 1 ? tf.expandDims(D, -1) : D;
}
