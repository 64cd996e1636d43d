// Mamba2Mixer as one kernel: its parts on addresses, without tensors in between.
import type { Mamba2MixerAttrs, Mamba2MixerInputs } from '../../kernel_names.js';
import {
  type ActivationFormat,
  activationFormat,
  alignedRow,
  fitsVector,
  numberBytes,
} from './activations.js';
import { convolve } from './causal_conv1d.js';
import { activateRows } from './gated_activation.js';
import { cudaKernel, isGiven, type KernelTensors, optionalAddress, stateOutput } from './kernel.js';
import { checkLayout } from './layout.js';
import { linear, type NormBefore } from './linear.js';
import { normRows } from './rms_norm.js';
import type { Runtime } from './runtime.js';
import { scan } from './ssd_scan.js';
import { type Temporaries, withTemporaries } from './temporaries.js';

/** Tokens, over all rows, whose projections are in memory at a time. */
const PIECE = 32768;

/** A mixer's weights as addresses, 0 for what it has not, and its sizes. */
export interface Mamba2Addresses {
  attrs: Mamba2MixerAttrs;
  inProj: number;
  inProjBias: number;
  convWeight: number;
  convBias: number;
  /** Width of the convolution. */
  width: number;
  dtBias: number;
  A: number;
  D: number;
  dPerChannel: boolean;
  normWeight: number;
  outProj: number;
  outProjBias: number;
}

/** Addresses of a run of tokens; states 0 where there is none before or none is wanted after. */
export interface Mamba2Run {
  x: number;
  /** The norm before in_proj, where it is not done yet. */
  norm?: NormBefore;
  residual: number;
  y: number;
  batch: number;
  length: number;
  convBefore: number;
  convAfter: number;
  ssmBefore: number;
  ssmAfter: number;
}

export const mamba2MixerKernel = cudaKernel('Mamba2Mixer', (inputs, attrs, backend) => {
  const { x, residual, convState, ssmState } = inputs;
  const [batch = 0, length = 0] = x.shape;
  const [dModel = 0] = attrs.outProj.shape;
  const weights = mamba2Addresses(backend, inputs, attrs);
  const y = backend.allocate([batch, length, dModel]);
  const run: Mamba2Run = {
    x: backend.address(x),
    residual: optionalAddress(backend, residual),
    y: y.address,
    batch,
    length,
    convBefore: optionalAddress(backend, convState),
    convAfter: 0,
    ssmBefore: optionalAddress(backend, ssmState),
    ssmAfter: 0,
  };
  if (!isGiven(convState) || !isGiven(ssmState)) {
    mixInPieces(backend.runtime, weights, run);
    return [y.info];
  }
  const newConv = stateOutput(backend, convState, convState.shape);
  const newSsm = stateOutput(backend, ssmState, ssmState.shape);
  run.convAfter = newConv.address;
  run.ssmAfter = newSsm.address;
  mixInPieces(backend.runtime, weights, run);
  return [y.info, newConv.info, newSsm.info];
});

export function mamba2Addresses(
  backend: KernelTensors,
  inputs: Omit<Mamba2MixerInputs, 'x'>,
  attrs: Mamba2MixerAttrs,
): Mamba2Addresses {
  checkLayout('Mamba2Mixer', attrs.inProj);
  checkLayout('Mamba2Mixer', attrs.outProj);
  return {
    attrs,
    inProj: backend.address(inputs.inProj),
    inProjBias: optionalAddress(backend, inputs.inProjBias),
    convWeight: backend.address(inputs.convWeight),
    convBias: optionalAddress(backend, inputs.convBias),
    width: inputs.convWeight.shape[1] ?? 0,
    dtBias: backend.address(inputs.dtBias),
    A: backend.address(inputs.A),
    D: backend.address(inputs.D),
    dPerChannel: inputs.D.rank === 2,
    normWeight: optionalAddress(backend, inputs.normWeight),
    outProj: backend.address(inputs.outProj),
    outProjBias: optionalAddress(backend, inputs.outProjBias),
  };
}

/** Long inputs go row by row and piece by piece, the states handed on, to the same bits. */
function mixInPieces(runtime: Runtime, weights: Mamba2Addresses, run: Mamba2Run): void {
  const { batch, length } = run;
  if (batch * length <= PIECE) {
    mixTokens(runtime, weights, run);
    return;
  }
  const { inProj, outProj, dSsm, dState, nGroups } = weights.attrs;
  const [, dModel = 0] = inProj.shape;
  const [outFeatures = 0] = outProj.shape;
  const convBytes = (dSsm + 2 * nGroups * dState) * weights.width * 4;
  const ssmBytes = dSsm * dState * 4;
  withTemporaries(runtime, (temporaries) => {
    const ownConv = run.convAfter === 0 ? temporaries.allocate(convBytes) : 0;
    const ownSsm = run.ssmAfter === 0 ? temporaries.allocate(ssmBytes) : 0;
    for (let row = 0; row < batch; row++) {
      const convAfter = ownConv || run.convAfter + row * convBytes;
      const ssmAfter = ownSsm || run.ssmAfter + row * ssmBytes;
      for (let first = 0; first < length; first += PIECE) {
        const token = row * length + first;
        const rowOf = (state: number, bytes: number) => (state === 0 ? 0 : state + row * bytes);
        mixTokens(runtime, weights, {
          x: run.x + token * dModel * 4,
          residual: run.residual === 0 ? 0 : run.residual + token * outFeatures * 4,
          y: run.y + token * outFeatures * 4,
          batch: 1,
          length: Math.min(PIECE, length - first),
          convBefore: first === 0 ? rowOf(run.convBefore, convBytes) : convAfter,
          convAfter,
          ssmBefore: first === 0 ? rowOf(run.ssmBefore, ssmBytes) : ssmAfter,
          ssmAfter,
        });
      }
    }
  });
}

/**
 * The mixer on addresses. A token of few rows is three kernels: norm, in_proj and convolution; scan;
 * gate, norm and out_proj.
 */
export function mixTokens(runtime: Runtime, weights: Mamba2Addresses, run: Mamba2Run): void {
  const { attrs, width } = weights;
  const { dSsm, dInner, nGroups, dState } = attrs;
  const rows = run.batch * run.length;
  const [projection = 0, dModel = 0] = attrs.inProj.shape;
  const [outFeatures = 0] = attrs.outProj.shape;
  const dMlp = dInner - dSsm;
  const heads = dSsm / attrs.headDim;
  const convDim = dSsm + 2 * nGroups * dState;
  const fusesConv = run.length === 1 && fitsVector({ rows, attrs: attrs.inProj });
  const format = activationFormat(run.length, [attrs.inProj, attrs.outProj]);
  const bytes = numberBytes[format];
  withTemporaries(runtime, (temporaries) => {
    const projected = projectedOf(weights, rows, format, temporaries);
    linear(runtime, {
      x: run.x,
      xStride: dModel,
      rows,
      weight: weights.inProj,
      attrs: attrs.inProj,
      bias: weights.inProjBias,
      y: projected.address,
      yStride: projected.stride,
      yFormat: format,
      exact:
        format === 'f32'
          ? undefined
          : { first: projection - heads, y: projected.dt, yStride: projected.dtStride },
      norm: run.norm,
      conv: fusesConv
        ? {
            first: 2 * dMlp + dSsm,
            channels: convDim,
            width,
            weight: weights.convWeight,
            bias: weights.convBias,
            before: run.convBefore,
            after: run.convAfter,
          }
        : undefined,
    });
    const y = temporaries.allocate(rows * dInner * bytes);
    scanProjected(runtime, weights, run, temporaries, { projected, y, isConvolved: fusesConv });
    const z = projected.address + 2 * dMlp * bytes;
    const gate: NormBefore = {
      weight: weights.normWeight,
      groupSize: dSsm / nGroups,
      eps: attrs.eps,
      z,
      zStride: projected.stride,
      normBeforeGate: attrs.normBeforeGate,
    };
    // With channels that go past the scan the gate is not all of out_proj's input.
    if (dMlp > 0) gateBeside(runtime, weights, { projected, y, rows, gate });
    linear(runtime, {
      x: y,
      xStride: dInner,
      xFormat: format,
      rows,
      weight: weights.outProj,
      attrs: attrs.outProj,
      bias: weights.outProjBias,
      residual: run.residual,
      y: run.y,
      yStride: outFeatures,
      norm: dMlp > 0 ? undefined : gate,
    });
  });
}

/** in_proj's output: z0, x0, z and xBC, and dt, which stays f32 behind them or beside them. */
interface Projected {
  address: number;
  /** Numbers from one token to the next. */
  stride: number;
  format: ActivationFormat;
  dt: number;
  dtStride: number;
}

function projectedOf(
  { attrs }: Mamba2Addresses,
  rows: number,
  format: ActivationFormat,
  temporaries: Temporaries,
): Projected {
  const [projection = 0] = attrs.inProj.shape;
  const heads = attrs.dSsm / attrs.headDim;
  const beforeDt = projection - heads;
  if (format === 'f32') {
    const address = temporaries.allocate(rows * projection * 4);
    const dt = address + beforeDt * 4;
    return { address, stride: projection, format, dt, dtStride: projection };
  }
  const stride = alignedRow(beforeDt);
  const address = temporaries.allocate(rows * stride * numberBytes[format]);
  return { address, stride, format, dt: temporaries.allocate(rows * heads * 4), dtStride: heads };
}

/** Convolution, where in_proj has not done it, and scan: y beyond its first dMlp columns. */
function scanProjected(
  runtime: Runtime,
  weights: Mamba2Addresses,
  run: Mamba2Run,
  temporaries: Temporaries,
  { projected, y, isConvolved }: { projected: Projected; y: number; isConvolved: boolean },
): void {
  const { attrs } = weights;
  const { dSsm, dInner, headDim, dState, nGroups } = attrs;
  const { batch, length } = run;
  const dMlp = dInner - dSsm;
  const { format } = projected;
  const bytes = numberBytes[format];
  const convDim = dSsm + 2 * nGroups * dState;
  let conv = projected.address + (2 * dMlp + dSsm) * bytes;
  let { stride } = projected;
  if (!isConvolved) {
    const xBC = conv;
    stride = alignedRow(convDim);
    conv = temporaries.allocate(batch * length * stride * bytes);
    convolve(runtime, {
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
      channels: convDim,
      width: weights.width,
      activation: 'silu',
    });
  }
  scan(runtime, {
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
    y: y + dMlp * bytes,
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
    dtMin: attrs.dtMin,
    dtMax: attrs.dtMax,
    rounds: attrs.inProj.format !== 'f32',
  });
}

/** out_proj's input as a whole: silu(z0) * x0, then the scan's output gated and normed. */
function gateBeside(
  runtime: Runtime,
  { attrs }: Mamba2Addresses,
  { projected, y, rows, gate }: { projected: Projected; y: number; rows: number; gate: NormBefore },
): void {
  const { dSsm, dInner } = attrs;
  const { address, stride, format } = projected;
  const dMlp = dInner - dSsm;
  const bytes = numberBytes[format];
  const formats = { xFormat: format, yFormat: format };
  const scanned = { x: y + dMlp * bytes, xStride: dInner, y: y + dMlp * bytes, yStride: dInner };
  normRows(runtime, { ...gate, ...scanned, ...formats, rows, columns: dSsm });
  activateRows(runtime, {
    x: address,
    xStride: stride,
    multiplier: address + dMlp * bytes,
    multiplierStride: stride,
    ...formats,
    y,
    yStride: dInner,
    rows,
    columns: dMlp,
    activation: 'silu',
  });
}
