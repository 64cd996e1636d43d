// mamba2Mixer: a whole Mamba-2 mixer as one op that a backend may fuse.
import type * as tf from '@tensorflow/tfjs-core';
import { decomposeMamba2Mixer, mamba2States } from '../backends/composed/mamba2_mixer.js';
import type { Mamba2MixerAttrs } from '../kernels.js';
import { isTapeOpen, output, runKernel } from '../registry.js';
import { type PackedWeight, projectionAttrs, projectionInputs } from '../weights/packed_weight.js';
import { checkWeight, ShapeChecker } from './checks.js';

/** The weights of a mixer. convDim = dSsm + 2 nGroups dState, H = dSsm / headDim. */
export interface Mamba2MixerWeights {
  /** (2 dInner + 2 nGroups dState + H, dModel): rows z0, x0, z, x, B, C, dt. */
  inProj: PackedWeight;
  inProjBias?: tf.Tensor | undefined;
  /** (convDim, dConv) */
  convWeight: tf.Tensor;
  convBias?: tf.Tensor | undefined;
  /** (H) */
  dtBias: tf.Tensor;
  /** (H), negative */
  A: tf.Tensor;
  /** (H) or (H, headDim) */
  D: tf.Tensor;
  /** (dSsm). Default: none, the scan's output is gated but not normalised. */
  normWeight?: tf.Tensor | undefined;
  /** (dModel, dInner) */
  outProj: PackedWeight;
  outProjBias?: tf.Tensor | undefined;
}

/** Sizes and options of mamba2Mixer. */
export type Mamba2MixerSizes = Omit<Mamba2MixerAttrs, 'inProj' | 'outProj'>;

/**
 * The Mamba-2 mixer: in_proj, causal convolution, scan, gated norm, out_proj.
 *
 * @param x (B, L, dModel)
 * @param state convState (B, dConv, convDim) and ssmState (B, H, headDim, dState) before x
 * @param residual (B, L, dModel), added to the output
 * @returns y (B, L, dModel) and, if a state was given, the states after x
 */
export function mamba2Mixer(
  x: tf.Tensor,
  weights: Mamba2MixerWeights,
  sizes: Mamba2MixerSizes,
  state?: { convState: tf.Tensor; ssmState: tf.Tensor },
  residual?: tf.Tensor,
): { y: tf.Tensor; convState?: tf.Tensor; ssmState?: tf.Tensor } {
  checkShapes(x, weights, sizes, state, residual);
  const { inputs: given, attrs } = mamba2Call(weights, sizes);
  const inputs = { x, ...given, ...state, residual };
  // A gradient tape records the primitives, so that nothing is computed twice.
  const outputs = isTapeOpen()
    ? decomposeMamba2Mixer(inputs, attrs)
    : runKernel('Mamba2Mixer', inputs, attrs);
  const y = output(outputs, 0);
  return state ? { y, convState: output(outputs, 1), ssmState: output(outputs, 2) } : { y };
}

/** The mixer with what a state needs to return to one of these tokens. */
export interface RecordedMixer {
  y: tf.Tensor;
  convState: tf.Tensor;
  ssmState: tf.Tensor;
  /** (B, L, projection), the output of in_proj. */
  projected: tf.Tensor;
  /** The states after tokens, from their rows of `projected` and the states before. */
  replay(
    projected: tf.Tensor,
    before: { convState: tf.Tensor; ssmState: tf.Tensor },
  ): { convState: tf.Tensor; ssmState: tf.Tensor };
}

/** mamba2Mixer from its primitives, so that its states can be replayed for the first tokens alone. */
export function recordedMamba2Mixer(
  x: tf.Tensor,
  weights: Mamba2MixerWeights,
  sizes: Mamba2MixerSizes,
  state: { convState: tf.Tensor; ssmState: tf.Tensor },
  residual?: tf.Tensor,
): RecordedMixer {
  checkShapes(x, weights, sizes, state, residual);
  const { inputs: given, attrs } = mamba2Call(weights, sizes);
  let projected = x;
  const outputs = decomposeMamba2Mixer({ x, ...given, ...state, residual }, attrs, (rows) => {
    projected = rows;
  });
  return {
    y: output(outputs, 0),
    convState: output(outputs, 1),
    ssmState: output(outputs, 2),
    projected,
    replay: (rows, before) => mamba2States(rows, { ...given, ...before }, attrs),
  };
}

/** The kernel's inputs, without x and states, and its attributes. */
export function mamba2Call(weights: Mamba2MixerWeights, sizes: Mamba2MixerSizes) {
  return {
    inputs: { ...weights, ...projectionInputs(weights) },
    attrs: { ...sizes, ...projectionAttrs(weights) },
  };
}

/** Check all of them: a fused kernel reads memory with these sizes. */
function checkShapes(
  x: tf.Tensor,
  weights: Mamba2MixerWeights,
  { dSsm, dInner, headDim, dState, nGroups }: Mamba2MixerSizes,
  state: { convState: tf.Tensor; ssmState: tf.Tensor } | undefined,
  residual: tf.Tensor | undefined,
): void {
  const heads = dSsm / headDim;
  const convDim = dSsm + 2 * nGroups * dState;
  const projection = 2 * (dInner - dSsm) + dSsm + convDim + heads;
  const { inProj, outProj, D, normWeight } = weights;
  const [outFeatures, inFeatures] = [outProj.shape[0], inProj.shape[1]];
  const shapes = new ShapeChecker('mamba2Mixer');
  shapes.check('x', x, ['B', 'L', inFeatures]);
  checkWeight('mamba2Mixer: inProj', inProj, projection, inFeatures);
  checkWeight('mamba2Mixer: outProj', outProj, outFeatures, dInner);
  shapes.check('convWeight', weights.convWeight, [convDim, 'W']);
  shapes.check('dtBias', weights.dtBias, [heads]);
  shapes.check('A', weights.A, [heads]);
  shapes.check('D', D, D.rank === 1 ? [heads] : [heads, headDim]);
  const { inProjBias, convBias, outProjBias } = weights;
  if (inProjBias) shapes.check('inProjBias', inProjBias, [projection]);
  if (convBias) shapes.check('convBias', convBias, [convDim]);
  if (normWeight) shapes.check('normWeight', normWeight, [dSsm]);
  if (outProjBias) shapes.check('outProjBias', outProjBias, [outFeatures]);
  if (state) {
    shapes.check('convState', state.convState, ['B', 'W', convDim]);
    shapes.check('ssmState', state.ssmState, ['B', heads, headDim, dState]);
  }
  if (residual) shapes.check('residual', residual, ['B', 'L', outFeatures]);
}
