// GatedMLP: its matmuls, activation and norm on addresses, without tensors in between.
import type { GatedMLPAttrs, KernelInputs } from '../../kernels.js';
import { numberBytes } from './activations.js';
import type { Address } from './address.js';
import type { InputNorm, Projection } from './calls.js';
import { isGiven, type NativeTensors, nativeKernel, optionalAddress } from './kernel.js';
import { linear, linearInput } from './linear_input.js';
import { withTemporaries } from './memory.js';
import type { NativeOps } from './ops.js';
import { projection } from './weights.js';

/** An MLP's weights as addresses, and its sizes. */
export interface MlpWeights {
  sizes: GatedMLPAttrs;
  inProj: Projection;
  /** Absent for an MLP that is not gated. */
  gateProj: Projection | undefined;
  /** 0 without a norm. */
  normWeight: Address;
  outProj: Projection;
}

export interface MlpRun {
  x: Address;
  /** The block's norm, if x is not normalised yet. */
  norm?: InputNorm;
  residual: Address;
  /** May be the residual. */
  y: Address;
  rows: number;
  /** Tokens per sequence in the whole call. */
  length: number;
}

export const gatedMLPKernel = nativeKernel('GatedMLP', (inputs, attrs, tensors) => {
  const { x, residual } = inputs;
  const { ops } = tensors;
  const [, dModel = 0] = attrs.inProj.shape;
  const [outFeatures = 0] = attrs.outProj.shape;
  const rows = x.size / dModel;
  const weights = mlpWeights(tensors, inputs, attrs);
  const y = tensors.allocate([...x.shape.slice(0, -1), outFeatures]);
  const from = tensors.address(x);
  const added = optionalAddress(tensors, residual);
  const piece = ops.mixerTokens.mlp;
  for (let first = 0; first < rows; first += piece) {
    mlpRows(ops, weights, {
      x: from + first * dModel * 4,
      residual: added === 0 ? 0 : added + first * outFeatures * 4,
      y: y.address + first * outFeatures * 4,
      rows: Math.min(piece, rows - first),
      length: x.shape.at(-2) ?? 1,
    });
  }
  return y.info;
});

export function mlpWeights(
  tensors: NativeTensors,
  inputs: Omit<KernelInputs<'GatedMLP'>, 'x'>,
  sizes: GatedMLPAttrs,
): MlpWeights {
  const name = 'GatedMLP';
  const { gateProj, gateProjBias } = inputs;
  return {
    sizes,
    inProj: projection(name, tensors, inputs.inProj, sizes.inProj, inputs.inProjBias),
    gateProj:
      sizes.gateProj && isGiven(gateProj)
        ? projection(name, tensors, gateProj, sizes.gateProj, gateProjBias)
        : undefined,
    normWeight: optionalAddress(tensors, inputs.normWeight),
    outProj: projection(name, tensors, inputs.outProj, sizes.outProj, inputs.outProjBias),
  };
}

/** The whole MLP: two kernels if everything is fused, four if it is gated. */
export function mlpRows(ops: NativeOps, weights: MlpWeights, run: MlpRun): void {
  const { sizes, inProj, gateProj, normWeight, outProj } = weights;
  const { x, norm, rows, length } = run;
  const [hidden = 0, dModel = 0] = inProj.attrs.shape;
  const [outFeatures = 0] = outProj.attrs.shape;
  const before = gateProj ? [inProj.attrs, gateProj.attrs] : [inProj.attrs];
  const format = ops.activationFormat(length, [...before, outProj.attrs]);
  // A norm reads activations in the mixer's dtype; out_proj reads its own input dtype.
  const last = normWeight === 0 ? ops.linearInputFormat(rows, outProj.attrs, before) : format;
  const yFormat = gateProj ? format : last;
  withTemporaries(ops.temporaries, (temporaries) => {
    const input = linearInput(ops, { x, xStride: dModel, rows, norm }, dModel, () =>
      temporaries.allocate(rows * dModel * 4),
    );
    let h = temporaries.allocate(rows * hidden * numberBytes[yFormat]);
    const activation = gateProj ? 'linear' : sizes.activation;
    linear(ops, input, inProj, { activation, y: h, yStride: hidden, yFormat });
    if (gateProj) {
      const gate = temporaries.allocate(rows * hidden * numberBytes[format]);
      linear(ops, input, gateProj, { y: gate, yStride: hidden, yFormat });
      const inPlace = numberBytes[last] === numberBytes[format];
      const gated = inPlace ? h : temporaries.allocate(rows * hidden * numberBytes[last]);
      ops.activate({
        x: h,
        xStride: hidden,
        xFormat: format,
        multiplier: gate,
        multiplierStride: hidden,
        y: gated,
        yStride: hidden,
        yFormat: last,
        rows,
        columns: hidden,
        activation: sizes.activation,
      });
      h = gated;
    }
    const innerNorm = normWeight
      ? { weight: normWeight, groupSize: hidden, eps: sizes.eps }
      : undefined;
    const activated = { x: h, xStride: hidden, xFormat: last, rows, norm: innerNorm };
    const normed = linearInput(ops, activated, hidden, () => h);
    const output = { residual: run.residual, y: run.y, yStride: outFeatures };
    linear(ops, normed, outProj, output);
  });
}
