// attentionMixer: projections and sliding-window attention as one op that a backend may fuse.
import type * as tf from '@tensorflow/tfjs-core';
import { decomposeAttentionMixer } from '../backends/composed/attention_mixer.js';
import { InvalidArgumentError } from '../errors.js';
import { isTapeOpen, runKernel } from '../registry.js';
import { type PackedWeight, projectionAttrs, projectionInputs } from '../weights/packed_weight.js';
import { checkInteger, checkWeight, ShapeChecker } from './checks.js';
import { type KvCache, runWithCache } from './sliding_window_attention.js';

/** The weights of an attention mixer. */
export interface AttentionMixerWeights {
  /** ((H + 2 Hkv) P, dModel): rows q, k, v, head by head. */
  inProj: PackedWeight;
  inProjBias?: tf.Tensor | undefined;
  /** (dModel, H P) */
  outProj: PackedWeight;
  outProjBias?: tf.Tensor | undefined;
  /**
   * (R / 2): the inverse frequencies of rotary positions, which turn the first R numbers of each head of q and
   * k; number i pairs with i + R / 2. Without it there are no positions.
   */
  rotary?: tf.Tensor | undefined;
}

/** Sizes and options of attentionMixer. */
export interface AttentionMixerSizes {
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Number of keys that a token attends to, itself included; Infinity for no limit. */
  window: number;
  /** Factor on the scores. */
  scale: number;
}

/**
 * The attention mixer: in_proj, rotary positions, attention, out_proj.
 *
 * @param x (B, L, dModel)
 * @param cache KV cache of the tokens before x. Default: none; x starts the text and no cache is returned
 * @param residual (B, L, dModel), added to the output
 * @returns y (B, L, dModel) and, if a cache was given, the cache after x
 */
export function attentionMixer(
  x: tf.Tensor,
  weights: AttentionMixerWeights,
  sizes: AttentionMixerSizes,
  cache?: KvCache,
  residual?: tf.Tensor,
): { y: tf.Tensor; cache?: KvCache } {
  const shapes = checkShapes(x, weights, sizes, residual);
  const { inputs: given, attrs: fixed } = attentionCall(weights, sizes);
  const { headDim, window } = sizes;
  const user = { op: 'attentionMixer', shapes, headDim, window };
  return runWithCache(user, cache, (caches, positions) => {
    const inputs = { x, ...given, ...caches, residual };
    const attrs = { ...fixed, positions };
    // A gradient tape records the primitives, so that nothing is computed twice.
    return isTapeOpen()
      ? decomposeAttentionMixer(inputs, attrs)
      : runKernel('AttentionMixer', inputs, attrs);
  });
}

/** The kernel's inputs, without x and states, and its attributes. */
export function attentionCall(weights: AttentionMixerWeights, sizes: AttentionMixerSizes) {
  return {
    inputs: { ...weights, ...projectionInputs(weights) },
    attrs: { ...sizes, ...projectionAttrs(weights) },
  };
}

/** Check all of them: a fused kernel reads memory with these sizes. */
function checkShapes(
  x: tf.Tensor,
  { inProj, inProjBias, outProj, outProjBias, rotary }: AttentionMixerWeights,
  { heads, kvHeads, headDim, window }: AttentionMixerSizes,
  residual: tf.Tensor | undefined,
): ShapeChecker {
  const [projection, inFeatures] = inProj.shape;
  const [outFeatures] = outProj.shape;
  const shapes = new ShapeChecker('attentionMixer');
  shapes.bind('Hkv', kvHeads);
  shapes.check('x', x, ['B', 'L', inFeatures]);
  checkWeight('attentionMixer: inProj', inProj, (heads + 2 * kvHeads) * headDim, inFeatures);
  checkWeight('attentionMixer: outProj', outProj, outFeatures, heads * headDim);
  if (inProjBias) shapes.check('inProjBias', inProjBias, [projection]);
  if (outProjBias) shapes.check('outProjBias', outProjBias, [outFeatures]);
  if (residual) shapes.check('residual', residual, ['B', 'L', outFeatures]);
  if (rotary) {
    shapes.check('rotary', rotary, ['R']);
    if (2 * rotary.size > headDim) {
      const most = `at most ${headDim / 2} frequencies for heads of ${headDim} numbers`;
      throw new InvalidArgumentError('attentionMixer: rotary', most, String(rotary.size));
    }
  }
  checkInteger('attentionMixer: heads / kvHeads', heads / kvHeads, 1);
  if (window !== Number.POSITIVE_INFINITY) checkInteger('attentionMixer: window', window, 1);
  return shapes;
}
