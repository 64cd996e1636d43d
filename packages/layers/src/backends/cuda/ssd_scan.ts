// SsdScan, as a kernel and on addresses; its state is moved on in place where that is allowed.
import { BackendError } from '../../errors.js';
import { type ActivationFormat, MANY_TOKENS } from './activations.js';
import type { Launch } from './device.js';
import { cudaKernel, optionalAddress, stateOutput } from './kernel.js';
import type { Runtime } from './runtime.js';

export interface ScanCall {
  /** Addresses, and numbers from one token to the next. */
  x: number;
  xStride: number;
  B: number;
  bStride: number;
  C: number;
  cStride: number;
  /** Of x, B, C and y; f32 unless given. */
  format?: ActivationFormat;
  dt: number;
  dtStride: number;
  A: number;
  /** 0 for none; likewise dtBias. */
  D: number;
  dPerChannel: boolean;
  dtBias: number;
  y: number;
  yStride: number;
  /** The state before and after; 0 for zeros, and where it is not wanted. They may be the same. */
  before: number;
  after: number;
  batch: number;
  length: number;
  heads: number;
  headDim: number;
  dState: number;
  groups: number;
  dtSoftplus: boolean;
  dtMin: number;
  dtMax: number;
  /** Whether factors may be rounded to bf16: many tokens then go to the tensor cores. */
  rounds?: boolean;
}

/** Rows of a head's state that a block holds; see ssd_scan.cu. */
const WARPS = 8;
/** State sizes that there are kernels for. */
const STATE_SIZES = [32, 64, 128, 256, 512];
/** Those of the tensor cores' kernels, and a block's tokens and channels; see ssd_chunks.cu. */
const CHUNKED_SIZES = [64, 128];
const CHUNK_TOKENS = 64;
const CHUNK_CHANNELS = 32;

export function scan(runtime: Runtime, call: ScanCall): void {
  const { heads, headDim, dState } = call;
  const type = call.format === 'bf16' ? '_bf16' : '';
  const chunked = call.rounds && call.length >= MANY_TOKENS;
  const columns = chunked ? CHUNKED_SIZES.find((n) => n >= dState) : undefined;
  if (columns !== undefined) {
    launchScan(runtime, call, `ssd_chunks_${columns}${type}`, {
      grid: [Math.ceil(headDim / CHUNK_CHANNELS), heads, call.batch],
      block: 128,
      sharedBytes:
        2 * (2 * CHUNK_TOKENS + CHUNK_CHANNELS) * (columns + 8) +
        4 * CHUNK_TOKENS * (CHUNK_CHANNELS + 8),
    });
    return;
  }
  const size = STATE_SIZES.find((n) => n >= dState);
  if (size === undefined) {
    throw new BackendError(`the scan of 'cuda' holds states of up to 512, not ${dState}`);
  }
  const grid = [Math.ceil(headDim / WARPS), heads, call.batch] as const;
  launchScan(runtime, call, `ssd_scan_${size}${type}`, { grid, block: WARPS * 32 });
}

function launchScan(runtime: Runtime, call: ScanCall, kernel: string, launch: Launch): void {
  const { heads, headDim, dState } = call;
  runtime.launch(
    kernel,
    launch,
    [
      ...[call.x, call.B, call.C, call.dt, call.A, call.D, call.dtBias, call.before],
      ...[call.y, call.after],
    ],
    [
      ...[call.xStride, call.bStride, call.cStride, call.dtStride, call.yStride],
      ...[call.length, heads, headDim, dState, call.groups],
      ...[call.dPerChannel ? 1 : 0, call.dtSoftplus ? 1 : 0],
    ],
    [call.dtMin, call.dtMax],
  );
}

export const ssdScanKernel = cudaKernel('SsdScan', (inputs, attrs, backend) => {
  const { x, dt, A, B, C, D, dtBias, state } = inputs;
  const [batch = 0, length = 0, heads = 0, headDim = 0] = x.shape;
  const [, , groups = 0, dState = 0] = B.shape;
  const y = backend.allocate(x.shape);
  const before = optionalAddress(backend, state);
  const after = attrs.returnState
    ? stateOutput(backend, state, [batch, heads, headDim, dState])
    : { info: undefined, address: 0 };
  scan(backend.runtime, {
    x: backend.address(x),
    xStride: heads * headDim,
    B: backend.address(B),
    bStride: groups * dState,
    C: backend.address(C),
    cStride: groups * dState,
    dt: backend.address(dt),
    dtStride: heads,
    A: backend.address(A),
    D: optionalAddress(backend, D),
    dPerChannel: D?.rank === 2,
    dtBias: optionalAddress(backend, dtBias),
    y: y.address,
    yStride: heads * headDim,
    before,
    after: after.address,
    batch,
    length,
    heads,
    headDim,
    dState,
    groups,
    ...attrs,
  });
  return after.info ? [y.info, after.info] : [y.info];
});
