// Mamba2Mixer: in_proj, convolution, scan, gated norm and out_proj on addresses, without tensors in between.
import type { KernelInputs, Mamba2MixerAttrs } from '../../kernels.js';
import { type ActivationFormat, alignedRow, numberBytes } from './activations.js';
import type { Address } from './address.js';
import type { ConvCall, InputNorm, Projection, ScanCall } from './calls.js';
import type { DeferredUpdates } from './deferred_updates.js';
import {
  infosOf,
  isGiven,
  type NativeTensors,
  nativeKernel,
  optionalAddress,
  stateOutput,
} from './kernel.js';
import { linear, linearInput } from './linear_input.js';
import { type Temporaries, withTemporaries } from './memory.js';
import type { NativeOps } from './ops.js';
import { projection } from './weights.js';

/** A mixer's weights as addresses (0 for absent ones), and its sizes. */
export interface Mamba2Weights {
  sizes: Mamba2MixerAttrs;
  inProj: Projection;
  convWeight: Address;
  convBias: Address;
  /** Width of the convolution. */
  convWidth: number;
  dtBias: Address;
  A: Address;
  D: Address;
  dPerChannel: boolean;
  normWeight: Address;
  outProj: Projection;
}

/** A run of tokens. */
export interface Mamba2Run {
  x: Address;
  /** The block's norm, if x is not normalised yet. */
  norm?: InputNorm;
  residual: Address;
  /** May be the residual. */
  y: Address;
  batch: number;
  length: number;
  /** States before and after the run. 0: zeros before, not wanted after. */
  convBefore: Address;
  convAfter: Address;
  ssmBefore: Address;
  ssmAfter: Address;
  /** Given, the states of this one sequence are advanced later. */
  deferred?: DeferredUpdates | undefined;
}

export const mamba2MixerKernel = nativeKernel('Mamba2Mixer', (inputs, attrs, tensors) => {
  const { x, residual, convState, ssmState } = inputs;
  const [batch = 0, length = 0] = x.shape;
  const [dModel = 0] = attrs.outProj.shape;
  const weights = mamba2Weights(tensors, inputs, attrs);
  const y = tensors.allocate([batch, length, dModel]);
  const hasState = isGiven(convState) && isGiven(ssmState);
  const convBefore = optionalAddress(tensors, convState);
  const ssmBefore = optionalAddress(tensors, ssmState);
  const newConv = hasState ? stateOutput(tensors, convState, convState.shape) : undefined;
  const newSsm = hasState ? stateOutput(tensors, ssmState, ssmState.shape) : undefined;
  mixInPieces(tensors.ops, weights, {
    x: tensors.address(x),
    residual: optionalAddress(tensors, residual),
    y: y.address,
    batch,
    length,
    convBefore,
    convAfter: newConv?.address ?? 0,
    ssmBefore,
    ssmAfter: newSsm?.address ?? 0,
  });
  return infosOf([y, newConv, newSsm]);
});

export function mamba2Weights(
  tensors: NativeTensors,
  inputs: Omit<KernelInputs<'Mamba2Mixer'>, 'x'>,
  sizes: Mamba2MixerAttrs,
): Mamba2Weights {
  const name = 'Mamba2Mixer';
  return {
    sizes,
    inProj: projection(name, tensors, inputs.inProj, sizes.inProj, inputs.inProjBias),
    convWeight: tensors.address(inputs.convWeight),
    convBias: optionalAddress(tensors, inputs.convBias),
    convWidth: inputs.convWeight.shape[1] ?? 0,
    dtBias: tensors.address(inputs.dtBias),
    A: tensors.address(inputs.A),
    D: tensors.address(inputs.D),
    dPerChannel: inputs.D.rank === 2,
    normWeight: optionalAddress(tensors, inputs.normWeight),
    outProj: projection(name, tensors, inputs.outProj, sizes.outProj, inputs.outProjBias),
  };
}

/** Channels of the convolution: x, B and C. */
export function convChannels({ dSsm, nGroups, dState }: Mamba2MixerAttrs): number {
  return dSsm + 2 * nGroups * dState;
}

/** Splits long inputs into sequences and pieces. The result is bitwise identical. */
function mixInPieces(ops: NativeOps, weights: Mamba2Weights, run: Mamba2Run): void {
  const { batch, length } = run;
  const piece = ops.mixerTokens.mamba2;
  if (batch * length <= piece) {
    mixTokens(ops, weights, run);
    return;
  }
  const { sizes, convWidth } = weights;
  const [, dModel = 0] = sizes.inProj.shape;
  const [outFeatures = 0] = sizes.outProj.shape;
  const convBytes = convChannels(sizes) * convWidth * 4;
  const ssmBytes = sizes.dSsm * sizes.dState * 4;
  const rowOf = (state: Address, row: number, bytes: number) =>
    state === 0 ? 0 : state + row * bytes;
  withTemporaries(ops.temporaries, (temporaries) => {
    const ownConv = run.convAfter === 0 ? temporaries.allocate(convBytes) : 0;
    const ownSsm = run.ssmAfter === 0 ? temporaries.allocate(ssmBytes) : 0;
    for (let row = 0; row < batch; row++) {
      const convAfter = ownConv || run.convAfter + row * convBytes;
      const ssmAfter = ownSsm || run.ssmAfter + row * ssmBytes;
      for (let first = 0; first < length; first += piece) {
        const token = row * length + first;
        mixTokens(ops, weights, {
          x: run.x + token * dModel * 4,
          residual: rowOf(run.residual, token, outFeatures * 4),
          y: run.y + token * outFeatures * 4,
          batch: 1,
          length: Math.min(piece, length - first),
          convBefore: first === 0 ? rowOf(run.convBefore, row, convBytes) : convAfter,
          convAfter,
          ssmBefore: first === 0 ? rowOf(run.ssmBefore, row, ssmBytes) : ssmAfter,
          ssmAfter,
        });
      }
    }
  });
}

/** The whole mixer: three kernels per token if everything is fused. */
export function mixTokens(ops: NativeOps, weights: Mamba2Weights, run: Mamba2Run): void {
  const { sizes, inProj, outProj, normWeight } = weights;
  const { dSsm, dInner, nGroups, eps, normBeforeGate } = sizes;
  const { normGroupSize = dSsm / nGroups } = sizes;
  const rows = run.batch * run.length;
  const [outFeatures = 0] = outProj.attrs.shape;
  const dMlp = dInner - dSsm;
  const format = ops.activationFormat(run.length, [inProj.attrs, outProj.attrs]);
  const bytes = numberBytes[format];
  const isConvolved = run.length === 1 && !run.deferred && ops.fusesConv(rows, inProj.attrs);
  withTemporaries(ops.temporaries, (temporaries) => {
    const projected = project(ops, weights, run, format, isConvolved, temporaries);
    const y = temporaries.allocate(rows * dInner * bytes);
    const z = projected.address + 2 * dMlp * bytes;
    const gatesInScan = ops.fusesGate && (normWeight === 0 || !normBeforeGate);
    const gate = gatesInScan ? z : 0;
    const scanned = y + dMlp * bytes;
    scanProjected(ops, weights, run, temporaries, { projected, scanned, gate, isConvolved });

    const needsNorm = normWeight !== 0 || !gatesInScan;
    const norm = needsNorm
      ? {
          weight: normWeight,
          groupSize: normGroupSize,
          eps,
          z: gatesInScan ? 0 : z,
          zStride: projected.stride,
          normBeforeGate,
        }
      : undefined;
    let input = { x: y, xStride: dInner, xFormat: format, rows, norm };
    if (dMlp > 0) {
      // The norm covers only part of out_proj's input, so out_proj cannot apply it.
      const scan = { x: scanned, xStride: dInner, xFormat: format };
      if (norm) {
        const place = { y: scanned, yStride: dInner, yFormat: format };
        ops.norm({ ...scan, ...norm, ...place, rows, columns: dSsm });
      }
      activateBesideScan(ops, sizes, projected, y, rows);
      input = { ...input, norm: undefined };
    }
    const normed = linearInput(ops, input, dInner, () => y);
    const output = { residual: run.residual, y: run.y, yStride: outFeatures };
    linear(ops, normed, outProj, output);
  });
}

/** in_proj's output: z0, x0, z and xBC in `format`; dt is f32, behind them or in a place of its own. */
interface Projected {
  address: Address;
  stride: number;
  format: ActivationFormat;
  dt: Address;
  dtStride: number;
}

/** The block's norm and in_proj; the convolution of one token too, where the backend fuses it. */
function project(
  ops: NativeOps,
  weights: Mamba2Weights,
  run: Mamba2Run,
  format: ActivationFormat,
  isConvolved: boolean,
  temporaries: Temporaries,
): Projected {
  const { sizes, inProj } = weights;
  const { dSsm, dInner, headDim } = sizes;
  const rows = run.batch * run.length;
  const [features = 0, dModel = 0] = inProj.attrs.shape;
  const memory = run.deferred ?? temporaries;
  const projected = projectedSpace(rows, features, dSsm / headDim, format, memory);
  const { address, stride, dt, dtStride } = projected;
  const input = { x: run.x, xStride: dModel, rows, norm: run.norm };
  const space = () => temporaries.allocate(rows * dModel * 4);
  linear(ops, linearInput(ops, input, dModel, space), inProj, {
    y: address,
    yStride: stride,
    yFormat: format,
    f32Tail:
      format === 'f32' ? undefined : { first: features - dtStride, y: dt, yStride: dtStride },
    conv: isConvolved
      ? {
          first: 2 * (dInner - dSsm) + dSsm,
          channels: convChannels(sizes),
          width: weights.convWidth,
          weight: weights.convWeight,
          bias: weights.convBias,
          before: run.convBefore,
          after: run.convAfter,
        }
      : undefined,
  });
  return projected;
}

function projectedSpace(
  rows: number,
  features: number,
  heads: number,
  format: ActivationFormat,
  memory: Pick<Temporaries, 'allocate'>,
): Projected {
  const beforeDt = features - heads;
  if (format === 'f32') {
    const address = memory.allocate(rows * features * 4);
    return { address, stride: features, format, dt: address + beforeDt * 4, dtStride: features };
  }
  const stride = alignedRow(beforeDt);
  const address = memory.allocate(rows * stride * numberBytes[format]);
  return { address, stride, format, dt: memory.allocate(rows * heads * 4), dtStride: heads };
}

/** Convolution (unless in_proj did it) and scan. */
function scanProjected(
  ops: NativeOps,
  weights: Mamba2Weights,
  run: Mamba2Run,
  temporaries: Temporaries,
  {
    projected,
    scanned,
    gate,
    isConvolved,
  }: { projected: Projected; scanned: Address; gate: Address; isConvolved: boolean },
): void {
  const { sizes } = weights;
  const { dSsm, dInner, headDim, dState, nGroups } = sizes;
  const { batch, length, deferred } = run;
  const { format } = projected;
  const bytes = numberBytes[format];
  const channels = convChannels(sizes);
  let conv = projected.address + (2 * (dInner - dSsm) + dSsm) * bytes;
  let { stride } = projected;
  if (!isConvolved) {
    const xBC = conv;
    stride = alignedRow(channels);
    conv = (deferred ?? temporaries).allocate(batch * length * stride * bytes);
    const call: ConvCall = {
      x: xBC,
      xStride: projected.stride,
      format,
      weight: weights.convWeight,
      bias: weights.convBias,
      before: run.convBefore,
      after: run.convAfter,
      y: conv,
      yStride: stride,
      batch,
      length,
      channels,
      width: weights.convWidth,
      activation: 'silu',
    };
    ops.convolve(deferred ? { ...call, after: 0 } : call);
    deferred?.add((tokens) => ops.convolve({ ...call, y: 0, length: tokens }));
  }
  const call: ScanCall = {
    x: conv,
    xStride: stride,
    B: conv + dSsm * bytes,
    bStride: stride,
    C: conv + (dSsm + nGroups * dState) * bytes,
    cStride: stride,
    format,
    dt: projected.dt,
    dtStride: projected.dtStride,
    A: weights.A,
    D: weights.D,
    dPerChannel: weights.dPerChannel,
    dtBias: weights.dtBias,
    y: scanned,
    yStride: dInner,
    before: run.ssmBefore,
    after: run.ssmAfter,
    batch,
    length,
    heads: dSsm / headDim,
    headDim,
    dState,
    groups: nGroups,
    dtSoftplus: true,
    dtMin: sizes.dtMin,
    dtMax: sizes.dtMax,
    gate,
    gateStride: projected.stride,
    rounds: sizes.inProj.format !== 'f32',
  };
  ops.scan(deferred ? { ...call, after: 0 } : call);
  deferred?.add((tokens) => ops.scan({ ...call, y: 0, length: tokens }));
}

/** The channels that bypass the scan: silu(z0) * x0, into the first columns of y. */
function activateBesideScan(
  ops: NativeOps,
  { dSsm, dInner }: Mamba2MixerAttrs,
  { address, stride, format }: Projected,
  y: Address,
  rows: number,
): void {
  const dMlp = dInner - dSsm;
  ops.activate({
    x: address,
    xStride: stride,
    xFormat: format,
    multiplier: address + dMlp * numberBytes[format],
    multiplierStride: stride,
    y,
    yStride: dInner,
    yFormat: format,
    rows,
    columns: dMlp,
    activation: 'silu',
  });
}
