// GatedMLP as one kernel: its products, activation and norm without tensors in between.
import type { GatedMLPAttrs, GatedMLPInputs } from '../../kernel_names.js';
import type { SimdBackend } from './backend.js';
import { activateRows } from './gated_activation.js';
import { isGiven, optionalAddress, simdKernel } from './kernel.js';
import { checkLayout } from './layout.js';
import { linear } from './linear.js';
import { normRows } from './rms_norm.js';
import { withTemporaries } from './temporaries.js';

export type MLPWeights = Omit<GatedMLPInputs, 'x' | 'residual'>;

/** Rows whose hidden layer is in memory at a time. */
const PIECE = 1024;

export const gatedMLPKernel = simdKernel('GatedMLP', (inputs, attrs, backend) => {
  const { x, residual } = inputs;
  checkLayout('GatedMLP', attrs.inProj);
  const [, dModel = 0] = attrs.inProj.shape;
  const [outFeatures = 0] = attrs.outProj.shape;
  const rows = x.size / dModel;
  const y = backend.allocate([...x.shape.slice(0, -1), outFeatures]);
  const from = backend.address(x);
  const added = optionalAddress(backend, residual);
  for (let first = 0; first < rows; first += PIECE) {
    mlpRows(backend, inputs, attrs, {
      x: from + first * dModel * 4,
      residual: added === 0 ? 0 : added + first * outFeatures * 4,
      y: y.address + first * outFeatures * 4,
      rows: Math.min(PIECE, rows - first),
    });
  }
  return y.info;
});

/** From rows of x to rows of y, residual included. y may be the residual. */
export function mlpRows(
  backend: SimdBackend,
  inputs: MLPWeights,
  attrs: GatedMLPAttrs,
  { x, residual, y, rows }: { x: number; residual: number; y: number; rows: number },
): void {
  const { runtime } = backend;
  const [hidden = 0, dModel = 0] = attrs.inProj.shape;
  const [outFeatures = 0] = attrs.outProj.shape;
  const isGated = attrs.gateProj !== undefined && isGiven(inputs.gateProj);
  withTemporaries(runtime, (temporaries) => {
    const h = temporaries.allocate(rows * hidden * 4);
    linear(runtime, temporaries, {
      x,
      xStride: dModel,
      rows,
      weight: backend.address(inputs.inProj),
      attrs: attrs.inProj,
      bias: optionalAddress(backend, inputs.inProjBias),
      activation: isGated ? 'linear' : attrs.activation,
      y: h,
      yStride: hidden,
    });
    if (attrs.gateProj && inputs.gateProj && isGated) {
      const gate = temporaries.allocate(rows * hidden * 4);
      linear(runtime, temporaries, {
        x,
        xStride: dModel,
        rows,
        weight: backend.address(inputs.gateProj),
        attrs: attrs.gateProj,
        bias: optionalAddress(backend, inputs.gateProjBias),
        y: gate,
        yStride: hidden,
      });
      activateRows(runtime, {
        x: h,
        xStride: hidden,
        multiplier: gate,
        multiplierStride: hidden,
        y: h,
        yStride: hidden,
        rows,
        columns: hidden,
        activation: attrs.activation,
      });
    }
    const normWeight = optionalAddress(backend, inputs.normWeight);
    if (normWeight !== 0) {
      normRows(runtime, {
        x: h,
        xStride: hidden,
        weight: normWeight,
        y: h,
        yStride: hidden,
        rows,
        columns: hidden,
        groupSize: hidden,
        eps: attrs.eps,
      });
    }
    linear(runtime, temporaries, {
      x: h,
      xStride: hidden,
      rows,
      weight: backend.address(inputs.outProj),
      attrs: attrs.outProj,
      bias: optionalAddress(backend, inputs.outProjBias),
      residual,
      y,
      yStride: outFeatures,
    });
  });
}
