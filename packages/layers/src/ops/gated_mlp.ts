// gatedMLP: a whole MLP, gated or not, as one op that a backend may fuse.
import type * as tf from '@tensorflow/tfjs-core';
import { decomposeGatedMLP } from '../backends/composed/gated_mlp.js';
import type { Activation } from '../kernels.js';
import { isTapeOpen, runKernel1 } from '../registry.js';
import {
  type PackedWeight,
  packedWeightAttrs,
  projectionAttrs,
  projectionInputs,
} from '../weights/packed_weight.js';
import { checkLastAxis, checkWeight, ShapeChecker } from './checks.js';

/** The weights of an MLP. */
export interface GatedMLPWeights {
  /** (hidden, dModel) */
  inProj: PackedWeight;
  inProjBias?: tf.Tensor | undefined;
  /** (hidden, dModel). Default: none, the MLP is not gated. */
  gateProj?: PackedWeight | undefined;
  gateProjBias?: tf.Tensor | undefined;
  /** (hidden): weight of an RMS norm before outProj. Default: none. */
  normWeight?: tf.Tensor | undefined;
  /** (dModel, hidden) */
  outProj: PackedWeight;
  outProjBias?: tf.Tensor | undefined;
}

/** Options of gatedMLP. */
export interface GatedMLPOptions {
  /** 'gelu' is the exact one. Default: 'silu' (SwiGLU). */
  activation?: Activation;
  /** Epsilon of the inner norm. Default: 1e-5. */
  eps?: number;
  /** (..., dModel), added to the output. */
  residual?: tf.Tensor | undefined;
}

/**
 * outProj(norm(activation(inProj x) * gateProj x)) + residual.
 *
 * @param x (..., dModel)
 * @returns (..., dModel)
 */
export function gatedMLP(
  x: tf.Tensor,
  weights: GatedMLPWeights,
  { activation = 'silu', eps = 1e-5, residual }: GatedMLPOptions = {},
): tf.Tensor {
  checkShapes(x, weights, residual);
  const { inputs: given, attrs } = mlpCall(weights, activation, eps);
  const inputs = { x, ...given, residual };
  return isTapeOpen() ? decomposeGatedMLP(inputs, attrs) : runKernel1('GatedMLP', inputs, attrs);
}

/** The kernel's inputs, without x and states, and its attributes. */
export function mlpCall(weights: GatedMLPWeights, activation: Activation, eps: number) {
  const { gateProj, ...rest } = weights;
  return {
    inputs: { ...rest, ...projectionInputs(rest), gateProj: gateProj?.tensor },
    attrs: {
      ...{ activation, eps },
      ...projectionAttrs(rest),
      ...(gateProj && { gateProj: packedWeightAttrs(gateProj) }),
    },
  };
}

/** Check all of them: a fused kernel reads memory with these sizes. */
function checkShapes(
  x: tf.Tensor,
  weights: GatedMLPWeights,
  residual: tf.Tensor | undefined,
): void {
  const { inProj, gateProj, outProj, inProjBias, gateProjBias, outProjBias, normWeight } = weights;
  const [hidden, inFeatures] = inProj.shape;
  const [outFeatures] = outProj.shape;
  checkLastAxis('gatedMLP: x', x, inFeatures);
  checkWeight('gatedMLP: outProj', outProj, outFeatures, hidden);
  const shapes = new ShapeChecker('gatedMLP');
  if (gateProj) checkWeight('gatedMLP: gateProj', gateProj, hidden, inFeatures);
  if (inProjBias) shapes.check('inProjBias', inProjBias, [hidden]);
  if (gateProjBias) shapes.check('gateProjBias', gateProjBias, [hidden]);
  if (normWeight) shapes.check('normWeight', normWeight, [hidden]);
  if (outProjBias) shapes.check('outProjBias', outProjBias, [outFeatures]);
  if (residual) shapes.check('residual', residual, [...x.shape.slice(0, -1), outFeatures]);
}
