// Mamba2Mixer as one kernel: its parts on addresses, without tensors in between.
import type { Mamba2MixerAttrs, Mamba2MixerInputs } from '../../kernel_names.js';
import type { SimdBackend } from './backend.js';
import { convolve } from './causal_conv1d.js';
import { activateRows } from './gated_activation.js';
import { isGiven, optionalAddress, simdKernel, stateOutput } from './kernel.js';
import { checkLayout } from './layout.js';
import { linear } from './linear.js';
import { normRows } from './rms_norm.js';
import { scan } from './ssd_scan.js';
import { type Temporaries, withTemporaries } from './temporaries.js';

/** Tokens, over all rows, whose projections are in memory at a time. */
const PIECE = 512;

/** Its weights, and the tensors that a kernel's call has beside them. */
export type Mamba2Weights = Omit<Mamba2MixerInputs, 'x' | 'residual' | 'convState' | 'ssmState'>;

/** Addresses of a run of tokens; states 0 where there is none before or none is wanted after. */
export interface Mamba2Run {
  x: number;
  residual: number;
  y: number;
  batch: number;
  length: number;
  convBefore: number;
  convAfter: number;
  ssmBefore: number;
  ssmAfter: number;
}

export const mamba2MixerKernel = simdKernel('Mamba2Mixer', (inputs, attrs, backend) => {
  const { x, residual, convState, ssmState } = inputs;
  checkLayout('Mamba2Mixer', attrs.inProj);
  const [batch = 0, length = 0] = x.shape;
  const [dModel = 0] = attrs.outProj.shape;
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
    mixInPieces(backend, inputs, attrs, run);
    return [y.info];
  }
  const newConv = stateOutput(backend, convState, convState.shape);
  const newSsm = stateOutput(backend, ssmState, ssmState.shape);
  run.convAfter = newConv.address;
  run.ssmAfter = newSsm.address;
  mixInPieces(backend, inputs, attrs, run);
  return [y.info, newConv.info, newSsm.info];
});

/** Long inputs go row by row and piece by piece, the states handed on, to the same bits. */
function mixInPieces(
  backend: SimdBackend,
  inputs: Mamba2MixerInputs,
  attrs: Mamba2MixerAttrs,
  run: Mamba2Run,
): void {
  const { batch, length } = run;
  if (batch * length <= PIECE) {
    mixTokens(backend, inputs, attrs, run);
    return;
  }
  const [, dModel = 0] = attrs.inProj.shape;
  const [outFeatures = 0] = attrs.outProj.shape;
  const convBytes = inputs.convWeight.size * 4;
  const ssmBytes = attrs.dSsm * attrs.dState * 4;
  withTemporaries(backend.runtime, (temporaries) => {
    const ownConv = run.convAfter === 0 ? temporaries.allocate(convBytes) : 0;
    const ownSsm = run.ssmAfter === 0 ? temporaries.allocate(ssmBytes) : 0;
    for (let row = 0; row < batch; row++) {
      const convAfter = ownConv || run.convAfter + row * convBytes;
      const ssmAfter = ownSsm || run.ssmAfter + row * ssmBytes;
      for (let first = 0; first < length; first += PIECE) {
        const token = row * length + first;
        const rowOf = (state: number, bytes: number) => (state === 0 ? 0 : state + row * bytes);
        mixTokens(backend, inputs, attrs, {
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

/** From x to y, residual included. y may be the residual. */
export function mixTokens(
  backend: SimdBackend,
  inputs: Mamba2Weights,
  attrs: Mamba2MixerAttrs,
  run: Mamba2Run,
): void {
  const { runtime } = backend;
  const { dInner } = attrs;
  const rows = run.batch * run.length;
  const [projection = 0, dModel = 0] = attrs.inProj.shape;
  withTemporaries(runtime, (temporaries) => {
    const projected = temporaries.allocate(rows * projection * 4);
    linear(runtime, temporaries, {
      x: run.x,
      xStride: dModel,
      rows,
      weight: backend.address(inputs.inProj),
      attrs: attrs.inProj,
      bias: optionalAddress(backend, inputs.inProjBias),
      y: projected,
      yStride: projection,
    });
    const y = temporaries.allocate(rows * dInner * 4);
    scanProjected(backend, inputs, attrs, run, temporaries, { projected, y });
    const [outFeatures = 0] = attrs.outProj.shape;
    linear(runtime, temporaries, {
      x: y,
      xStride: dInner,
      rows,
      weight: backend.address(inputs.outProj),
      attrs: attrs.outProj,
      bias: optionalAddress(backend, inputs.outProjBias),
      residual: run.residual,
      y: run.y,
      yStride: outFeatures,
    });
  });
}

/** From in_proj's output to out_proj's input. */
function scanProjected(
  backend: SimdBackend,
  inputs: Mamba2Weights,
  attrs: Mamba2MixerAttrs,
  run: Mamba2Run,
  temporaries: Temporaries,
  { projected, y }: { projected: number; y: number },
): void {
  const { runtime } = backend;
  const { dSsm, dInner, headDim, dState, nGroups } = attrs;
  const dMlp = dInner - dSsm;
  const heads = dSsm / headDim;
  const rows = run.batch * run.length;
  const [projection = 0] = attrs.inProj.shape;
  const [convDim = 0, width = 0] = inputs.convWeight.shape;
  const at = (column: number) => projected + column * 4;
  const z = at(2 * dMlp);
  const normWeight = optionalAddress(backend, inputs.normWeight);
  const normFirst = normWeight !== 0 && attrs.normBeforeGate;
  const yScan = y + dMlp * 4;

  const conv = temporaries.allocate(rows * convDim * 4);
  convolve(runtime, {
    x: at(2 * dMlp + dSsm),
    xStride: projection,
    weight: backend.address(inputs.convWeight),
    bias: optionalAddress(backend, inputs.convBias),
    before: run.convBefore,
    after: run.convAfter,
    y: conv,
    yStride: convDim,
    batch: run.batch,
    length: run.length,
    channels: convDim,
    width,
    activation: 'silu',
  });
  scan(runtime, {
    x: conv,
    xStride: convDim,
    B: conv + dSsm * 4,
    bStride: convDim,
    C: conv + (dSsm + nGroups * dState) * 4,
    cStride: convDim,
    dt: at(2 * dMlp + dSsm + convDim),
    dtStride: projection,
    A: backend.address(inputs.A),
    D: backend.address(inputs.D),
    dPerChannel: inputs.D.rank === 2,
    dtBias: backend.address(inputs.dtBias),
    y: yScan,
    yStride: dInner,
    before: run.ssmBefore,
    after: run.ssmAfter,
    batch: run.batch,
    length: run.length,
    heads,
    headDim,
    dState,
    groups: nGroups,
    dtSoftplus: true,
    dtMin: attrs.dtMin,
    dtMax: attrs.dtMax,
    gate: normFirst ? 0 : z,
    gateStride: projection,
  });
  if (normWeight !== 0) {
    normRows(runtime, {
      x: yScan,
      xStride: dInner,
      z: normFirst ? z : 0,
      zStride: projection,
      weight: normWeight,
      y: yScan,
      yStride: dInner,
      rows,
      columns: dSsm,
      groupSize: dSsm / nGroups,
      eps: attrs.eps,
      normBeforeGate: normFirst,
    });
  }
  if (dMlp === 0) return;
  activateRows(runtime, {
    x: projected,
    xStride: projection,
    multiplier: at(dMlp),
    multiplierStride: projection,
    y,
    yStride: dInner,
    rows,
    columns: dMlp,
    activation: 'silu',
  });
}
