// AttentionMixer as one kernel: projections and attention on addresses, without tensors in between.
import type { AttentionMixerAttrs, AttentionMixerInputs } from '../../kernel_names.js';
import type { PackedWeightAttrs } from '../../weights/packed_weight.js';
import { activationFormat, alignedRow, numberBytes, productFormat } from './activations.js';
import { cudaKernel, isGiven, type KernelTensors, optionalAddress } from './kernel.js';
import { checkLayout } from './layout.js';
import { linear, type NormBefore } from './linear.js';
import type { Runtime } from './runtime.js';
import { attend, movedRing } from './sliding_window_attention.js';
import { withTemporaries } from './temporaries.js';

/** A packed weight and the bias that goes with it; 0 for none. */
export interface Projection {
  weight: number;
  bias: number;
  attrs: PackedWeightAttrs;
}

/** An attention mixer's weights as addresses, and its sizes. */
export interface AttentionAddresses {
  inProj: Projection;
  outProj: Projection;
  heads: number;
  kvHeads: number;
  headDim: number;
  window: number;
  scale: number;
}

/** Addresses of a run of tokens. */
export interface AttentionRun {
  x: number;
  /** The norm before in_proj, where it is not done yet. */
  norm?: NormBefore;
  residual: number;
  y: number;
  batch: number;
  length: number;
  /** 0 without a ring; so are where its tokens go, and the positions. */
  ringK: number;
  ringV: number;
  writeK: number;
  writeV: number;
  positions: number;
  capacity: number;
  bf16Ring: boolean;
  /** The most keys that a query can see. */
  span: number;
}

export const attentionMixerKernel = cudaKernel('AttentionMixer', (inputs, attrs, backend) => {
  const { x, residual, ringK, ringV } = inputs;
  const [batch = 0, length = 0] = x.shape;
  const [dModel = 0] = attrs.outProj.shape;
  const weights = attentionAddresses(backend, inputs, attrs);
  const y = backend.allocate([batch, length, dModel]);
  const run: AttentionRun = {
    x: backend.address(x),
    residual: optionalAddress(backend, residual),
    y: y.address,
    batch,
    length,
    ...{ ringK: 0, ringV: 0, writeK: 0, writeV: 0, positions: 0, capacity: 0 },
    bf16Ring: false,
    span: Math.min(attrs.window, length),
  };
  if (!isGiven(ringK) || !isGiven(ringV)) {
    attendTokens(backend.runtime, weights, run);
    return [y.info];
  }
  const { positions, window } = attrs;
  return movedRing(backend, { ringK, ringV, positions, window, length }, (ring) => {
    attendTokens(backend.runtime, weights, { ...run, ...ring });
    return y.info;
  });
});

function attentionAddresses(
  backend: KernelTensors,
  inputs: Omit<AttentionMixerInputs, 'x'>,
  { inProj, outProj, heads, kvHeads, headDim, window, scale }: AttentionMixerAttrs,
): AttentionAddresses {
  checkLayout('AttentionMixer', inProj);
  checkLayout('AttentionMixer', outProj);
  return {
    inProj: {
      weight: backend.address(inputs.inProj),
      bias: optionalAddress(backend, inputs.inProjBias),
      attrs: inProj,
    },
    outProj: {
      weight: backend.address(inputs.outProj),
      bias: optionalAddress(backend, inputs.outProjBias),
      attrs: outProj,
    },
    ...{ heads, kvHeads, headDim, window, scale },
  };
}

/** The mixer on addresses: norm and in_proj; attention, the ring moved on; out_proj and residual. */
export function attendTokens(
  runtime: Runtime,
  { inProj, outProj, ...sizes }: AttentionAddresses,
  run: AttentionRun,
): void {
  const { heads, kvHeads, headDim } = sizes;
  const { batch, length, norm, x, residual, y, ...ring } = run;
  const rows = batch * length;
  const width = heads * headDim;
  const projection = width + 2 * kvHeads * headDim;
  const [dModel = 0] = outProj.attrs.shape;
  const [, inFeatures = 0] = inProj.attrs.shape;
  const format = activationFormat(length, [inProj.attrs, outProj.attrs]);
  const yFormat = productFormat(rows, outProj.attrs, [inProj.attrs]);
  const bytes = numberBytes[format];
  const stride = alignedRow(projection);
  withTemporaries(runtime, (temporaries) => {
    const qkv = temporaries.allocate(rows * stride * bytes);
    linear(runtime, {
      ...{ x, xStride: inFeatures, rows, norm },
      ...inProj,
      y: qkv,
      yStride: stride,
      yFormat: format,
    });
    const attended = temporaries.allocate(rows * width * numberBytes[yFormat]);
    attend(runtime, {
      q: qkv,
      k: qkv + width * bytes,
      v: qkv + (width + kvHeads * headDim) * bytes,
      y: attended,
      qStride: stride,
      kvStride: stride,
      yStride: width,
      ...{ format, yFormat, batch, length },
      ...sizes,
      ...ring,
      rounds: inProj.attrs.format !== 'f32',
    });
    linear(runtime, {
      x: attended,
      xStride: width,
      xFormat: yFormat,
      rows,
      ...outProj,
      ...{ residual, y, yStride: dModel },
    });
  });
}
