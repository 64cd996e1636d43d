// GatedMLP as one kernel: its products, activation and norm without tensors in between.
import type { GatedMLPAttrs, GatedMLPInputs } from '../../kernel_names.js';
import { activationFormat, numberBytes, productFormat } from './activations.js';
import { activateRows } from './gated_activation.js';
import { cudaKernel, isGiven, type KernelTensors, optionalAddress } from './kernel.js';
import { checkLayout } from './layout.js';
import { linear, type NormBefore } from './linear.js';
import type { Runtime } from './runtime.js';
import { withTemporaries } from './temporaries.js';

/** Rows whose hidden layer is in memory at a time. */
const PIECE = 32768;

/** An MLP's weights as addresses, 0 for what it has not, and its sizes. */
export interface MLPAddresses {
  attrs: GatedMLPAttrs;
  inProj: number;
  inProjBias: number;
  gateProj: number;
  gateProjBias: number;
  normWeight: number;
  outProj: number;
  outProjBias: number;
}

/** Addresses of some rows. */
export interface MLPRun {
  x: number;
  /** The norm before the projections, where it is not done yet. */
  norm?: NormBefore;
  residual: number;
  y: number;
  rows: number;
  /** Tokens of a text that the call brings, in all its pieces. */
  length: number;
}

export const gatedMLPKernel = cudaKernel('GatedMLP', (inputs, attrs, backend) => {
  const { x, residual } = inputs;
  const [, dModel = 0] = attrs.inProj.shape;
  const [outFeatures = 0] = attrs.outProj.shape;
  const rows = x.size / dModel;
  const weights = mlpAddresses(backend, inputs, attrs);
  const y = backend.allocate([...x.shape.slice(0, -1), outFeatures]);
  const from = backend.address(x);
  const added = optionalAddress(backend, residual);
  for (let first = 0; first < rows; first += PIECE) {
    mlpRows(backend.runtime, weights, {
      x: from + first * dModel * 4,
      residual: added === 0 ? 0 : added + first * outFeatures * 4,
      y: y.address + first * outFeatures * 4,
      rows: Math.min(PIECE, rows - first),
      length: x.shape.at(-2) ?? 1,
    });
  }
  return y.info;
});

export function mlpAddresses(
  backend: KernelTensors,
  inputs: Omit<GatedMLPInputs, 'x'>,
  attrs: GatedMLPAttrs,
): MLPAddresses {
  checkLayout('GatedMLP', attrs.inProj);
  checkLayout('GatedMLP', attrs.outProj);
  if (attrs.gateProj) checkLayout('GatedMLP', attrs.gateProj);
  const { gateProj } = inputs;
  return {
    attrs,
    inProj: backend.address(inputs.inProj),
    inProjBias: optionalAddress(backend, inputs.inProjBias),
    gateProj: attrs.gateProj && isGiven(gateProj) ? backend.address(gateProj) : 0,
    gateProjBias: optionalAddress(backend, inputs.gateProjBias),
    normWeight: optionalAddress(backend, inputs.normWeight),
    outProj: backend.address(inputs.outProj),
    outProjBias: optionalAddress(backend, inputs.outProjBias),
  };
}

/** The MLP on addresses. Few rows are two kernels, or four where it is gated. */
export function mlpRows(runtime: Runtime, weights: MLPAddresses, run: MLPRun): void {
  const { attrs } = weights;
  const { x, norm, rows, length } = run;
  const [hidden = 0, dModel = 0] = attrs.inProj.shape;
  const [outFeatures = 0] = attrs.outProj.shape;
  const { normWeight } = weights;
  const isGated = weights.gateProj !== 0;
  const before = attrs.gateProj ? [attrs.inProj, attrs.gateProj] : [attrs.inProj];
  const format = activationFormat(length, [...before, attrs.outProj]);
  // What the norm reads is an activation; what out_proj reads is its own format.
  const last = normWeight === 0 ? productFormat(rows, attrs.outProj, before) : format;
  const yFormat = isGated ? format : last;
  withTemporaries(runtime, (temporaries) => {
    let h = temporaries.allocate(rows * hidden * numberBytes[yFormat]);
    linear(runtime, {
      ...{ x, xStride: dModel, rows, norm },
      weight: weights.inProj,
      attrs: attrs.inProj,
      bias: weights.inProjBias,
      activation: isGated ? 'linear' : attrs.activation,
      y: h,
      yStride: hidden,
      yFormat,
    });
    if (attrs.gateProj && isGated) {
      const gate = temporaries.allocate(rows * hidden * numberBytes[format]);
      linear(runtime, {
        ...{ x, xStride: dModel, rows, norm },
        weight: weights.gateProj,
        attrs: attrs.gateProj,
        bias: weights.gateProjBias,
        y: gate,
        yStride: hidden,
        yFormat,
      });
      const inPlace = numberBytes[last] === numberBytes[format];
      const gated = inPlace ? h : temporaries.allocate(rows * hidden * numberBytes[last]);
      activateRows(runtime, {
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
        activation: attrs.activation,
      });
      h = gated;
    }
    linear(runtime, {
      x: h,
      xStride: hidden,
      xFormat: last,
      rows,
      weight: weights.outProj,
      attrs: attrs.outProj,
      bias: weights.outProjBias,
      residual: run.residual,
      y: run.y,
      yStride: outFeatures,
      ...(normWeight !== 0 && {
        norm: { weight: normWeight, groupSize: hidden, eps: attrs.eps },
      }),
    });
  });
}
