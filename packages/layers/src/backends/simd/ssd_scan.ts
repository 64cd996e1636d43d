// SsdScan, as a kernel and on addresses; its state is moved on in place where that is allowed.
import { optionalAddress, simdKernel, stateOutput } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

export interface ScanCall {
  /** Addresses, and numbers from one token to the next. */
  x: number;
  xStride: number;
  B: number;
  bStride: number;
  C: number;
  cStride: number;
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
  /** y is multiplied by silu of this; none unless given. */
  gate?: number;
  gateStride?: number;
}

export function setScanArguments({ args, numbers }: Runtime, call: ScanCall): void {
  args[0] = call.x;
  args[1] = call.xStride;
  args[2] = call.B;
  args[3] = call.bStride;
  args[4] = call.C;
  args[5] = call.cStride;
  args[6] = call.dt;
  args[7] = call.dtStride;
  args[8] = call.A;
  args[9] = call.D;
  args[10] = call.dPerChannel ? 1 : 0;
  args[11] = call.dtBias;
  args[12] = call.y;
  args[13] = call.yStride;
  args[14] = call.before;
  args[15] = call.after;
  args[16] = call.length;
  args[17] = call.heads;
  args[18] = call.headDim;
  args[19] = call.dState;
  args[20] = call.groups;
  args[21] = call.dtSoftplus ? 1 : 0;
  numbers[22] = call.dtMin;
  numbers[23] = call.dtMax;
}

export function scan(runtime: Runtime, call: ScanCall): void {
  setScanArguments(runtime, call);
  runtime.args[24] = call.gate ?? 0;
  runtime.args[25] = call.gateStride ?? 0;
  const units = call.batch * call.heads;
  const stateSize = call.headDim * call.dState;
  const padded = Math.ceil(call.length / 4) * 4;
  const scratch = (2 * padded + (call.after === 0 ? stateSize : 0)) * 4;
  const chunk = runtime.chunk(2 * stateSize * call.length);
  runtime.run(KernelId.SsdScan, units, chunk, scratch);
}

export const ssdScanKernel = simdKernel('SsdScan', (inputs, attrs, backend) => {
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
