// SsdScanGrad from tfjs-core ops: the chunked scan run backwards, recomputing the chunks' states.
//
// With dS the gradient of a chunk's final state and W[i,j] = decay[i,j] (C[i].B[j]) (dy[i].dtx[j]):
//   d dtx[j] = sum over i of decay[i,j] (C[i].B[j]) dy[i]  +  exp(total - s[j]) dS B[j]
//   da[k]    = sum over j < k <= i of W[i,j]  +  what is carried in, out and through (decayGradient)
import * as tf from '@tensorflow/tfjs-core';
import type { KernelInputs, SsdScanAttrs } from '../../kernels.js';
import { defineKernel } from '../../registry.js';
import {
  type ChunkTensors,
  causalMask,
  chunkTensors,
  effectiveDt,
  fromChunks,
  inChunks,
  runningSum,
  type SsdSizes,
  skipOf,
  ssdSizes,
  statesOfChunks,
} from './ssd_scan.js';

export const ssdScanGradKernel = defineKernel('SsdScanGrad', (inputs, attrs) => {
  const { x, A, D, dtBias, state, dy } = inputs;
  const sizes = ssdSizes(inputs, attrs);
  const dt = effectiveDt(inputs, attrs);
  const tensors = chunkTensors(inputs, dt, sizes);
  const { before } = statesOfChunks(tensors, state, sizes);
  const dyHeads = headMajor(inChunks(dy, sizes), sizes);
  const dStates = stateGradients(tensors, dyHeads, inputs.dstateOut, sizes);

  const { ddtx, dB, dC, da } = chunkGradients(tensors, dyHeads, before, dStates.after, sizes);
  const ddtxTokens = tokenMajor(ddtx, sizes);
  const daTokens = fromChunks(
    tf.reshape(tf.transpose(da, [0, 3, 1, 2]), [sizes.M, sizes.T, sizes.H]),
    sizes,
  );
  const ddtEffective = tf.add(tf.mul(daTokens, A), tf.sum(tf.mul(ddtxTokens, x), -1));
  const ddt = rawDtGradient(inputs, attrs, ddtEffective);
  let dx = tf.mul(ddtxTokens, tf.expandDims(dt, -1));
  if (D) dx = tf.add(dx, tf.mul(dy, skipOf(D)));
  return [
    dx,
    ddt,
    tf.sum(tf.mul(daTokens, dt), [0, 1]),
    fromChunks(tf.transpose(dB, [0, 2, 1, 3]), sizes),
    fromChunks(tf.transpose(dC, [0, 2, 1, 3]), sizes),
    ...(D ? [tf.sum(tf.mul(dy, x), D.rank === 1 ? [0, 1, 3] : [0, 1])] : []),
    ...(dtBias ? [tf.sum(ddt, [0, 1])] : []),
    ...(state ? [dStates.initial] : []),
  ];
});

/** (M, T, H, P) as (M, G, R, T, P) */
function headMajor(t: tf.Tensor, { M, T, G, R, P }: SsdSizes): tf.Tensor {
  return tf.transpose(tf.reshape(t, [M, T, G, R, P]), [0, 2, 3, 1, 4]);
}

/** (M, G, R, T, P) as (B, L, H, P) */
function tokenMajor(t: tf.Tensor, sizes: SsdSizes): tf.Tensor {
  const { M, T, H, P } = sizes;
  return fromChunks(tf.reshape(tf.transpose(t, [0, 3, 1, 2, 4]), [M, T, H, P]), sizes);
}

/** The gradients of the states after each chunk (M, G, R, P, N) and before the first (B, H, P, N). */
function stateGradients(
  { s, total, C }: ChunkTensors,
  dy: tf.Tensor,
  dstateOut: tf.Tensor | undefined,
  sizes: SsdSizes,
): { after: tf.Tensor; initial: tf.Tensor } {
  const { batch, chunks, M, T, G, R, H, P, N } = sizes;
  // The part of a chunk's outputs in the gradient of the state before it: sum over i of exp(s[i]) dy[i]
  // C[i]^T.
  const weighted = tf.mul(dy, tf.expandDims(tf.exp(s), -1));
  const rows = tf.reshape(tf.transpose(weighted, [0, 1, 2, 4, 3]), [M, G, R * P, T]);
  const direct = tf.unstack(tf.reshape(tf.matMul(rows, C), [batch, chunks, H, P, N]), 1);
  const decays = tf.unstack(tf.reshape(tf.exp(total), [batch, chunks, H, 1, 1]), 1);
  const after: tf.Tensor[] = [];
  let dstate = dstateOut ?? tf.zeros([batch, H, P, N]);
  for (let c = chunks - 1; c >= 0; c--) {
    after.unshift(dstate);
    dstate = tf.add(tf.mul(dstate, decays[c] ?? 0), direct[c] ?? 0);
  }
  return { after: tf.reshape(tf.stack(after, 1), [M, G, R, P, N]), initial: dstate };
}

function chunkGradients(
  { dtx, s, total, toEnd, decay, B, C, CB }: ChunkTensors,
  dy: tf.Tensor,
  before: tf.Tensor,
  dAfter: tf.Tensor,
  { M, T, G, R, P, N }: SsdSizes,
): { ddtx: tf.Tensor; dB: tf.Tensor; dC: tf.Tensor; da: tf.Tensor } {
  const untilEnd = tf.expandDims(tf.exp(toEnd), -1);
  const fromStart = tf.expandDims(tf.exp(s), -1);

  const scores = tf.mul(decay, CB);
  const pairs = tf.matMul(dy, dtx, false, true); // (M, G, R, T, T): dy[i] . dtx[j]
  const stateToX = tf.reshape(tf.matMul(tf.reshape(dAfter, [M, G, R * P, N]), B, false, true), [
    M,
    G,
    R,
    P,
    T,
  ]);
  const ddtxCarried = tf.mul(tf.transpose(stateToX, [0, 1, 2, 4, 3]), untilEnd);
  const ddtx = tf.add(tf.matMul(scores, dy, true, false), ddtxCarried);

  const dCB = tf.sum(tf.mul(decay, pairs), 2); // (M, G, T, T), over the heads of a group
  const dBCarried = tf.matMul(tf.mul(dtx, untilEnd), dAfter); // (M, G, R, T, N)
  const dCCarried = tf.matMul(tf.mul(dy, fromStart), before);
  const dB = tf.add(tf.matMul(dCB, C, true, false), tf.sum(dBCarried, 2));
  const dC = tf.add(tf.matMul(dCB, B), tf.sum(dCCarried, 2));

  const da = decayGradient(
    {
      pairs: tf.mul(scores, pairs),
      carriedOut: tf.sum(tf.mul(dCCarried, tf.expandDims(C, 2)), -1),
      carriedIn: tf.sum(tf.mul(ddtxCarried, dtx), -1),
      through: tf.mul(tf.sum(tf.mul(dAfter, before), [3, 4]), tf.squeeze(tf.exp(total), [-1])),
    },
    T,
  );
  return { ddtx, dB, dC, da };
}

/** The terms of the gradient with respect to a chunk's decays, each times its decay. */
interface DecayTerms {
  /** (M, G, R, T, T): of token j in output i, through the decays of the tokens j < k <= i */
  pairs: tf.Tensor;
  /** (M, G, R, T): of the state before the chunk in output i, through those up to i */
  carriedOut: tf.Tensor;
  /** (M, G, R, T): of token j in the state after the chunk, through those after j */
  carriedIn: tf.Tensor;
  /** (M, G, R): of the state before the chunk in the state after it, through all */
  through: tf.Tensor;
}

/**
 * The gradient of a = dt A, (M, G, R, T). Each a[k] sums only the terms that pass token k. The shorter form
 * (running sum of row sums minus column sums) would subtract the diagonal of `pairs`, which passes no decay
 * and is far larger than the other terms at strong decay.
 */
function decayGradient(
  { pairs, carriedOut, carriedIn, through }: DecayTerms,
  T: number,
): tf.Tensor {
  const before = runningSum(pairs, { exclusive: true });
  const within = tf.sum(tf.mul(before, causalMask(T)), -2);
  const carried = tf.add(
    runningSum(carriedOut, { reverse: true }),
    runningSum(carriedIn, { exclusive: true }),
  );
  return tf.add(tf.add(within, carried), tf.expandDims(through, -1));
}

/** Back through the limits and softplus. */
function rawDtGradient(
  { dt, dtBias }: KernelInputs<'SsdScanGrad'>,
  { dtSoftplus, dtMin, dtMax }: SsdScanAttrs,
  ddt: tf.Tensor,
): tf.Tensor {
  const raw = dtBias ? tf.add(dt, dtBias) : dt;
  const limited = dtMin > 0 || dtMax < Number.POSITIVE_INFINITY;
  let d = ddt;
  if (limited) {
    const unlimited = effectiveDt({ dt, dtBias }, { ...noLimits, dtSoftplus });
    const inside = tf.logicalAnd(
      tf.greaterEqual(unlimited, dtMin),
      tf.lessEqual(unlimited, Math.min(dtMax, 3e38)),
    );
    d = tf.mul(d, tf.cast(inside, 'float32'));
  }
  return dtSoftplus ? tf.mul(d, tf.sigmoid(raw)) : tf.clone(d);
}

const noLimits: SsdScanAttrs = {
  dtSoftplus: true,
  dtMin: 0,
  dtMax: Number.POSITIVE_INFINITY,
  chunkSize: 1,
  returnState: false,
};
