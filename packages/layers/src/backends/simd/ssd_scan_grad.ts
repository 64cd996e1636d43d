// SsdScanGrad: some heads of a row at a time, then the parts that heads or rows share are summed.
import { sumMiddle } from './core/reductions.js';
import { isGiven, optionalAddress, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import { setScanArguments } from './ssd_scan.js';
import { withTemporaries } from './temporaries.js';

/** Tokens of a chunk; see assembly/scan_grad_layout.ts. */
const CHUNK = 32;
/** Heads of a unit, which share the products of B and C, at most. */
const HEADS_PER_UNIT = 8;

/** Bytes that a thread needs; see `layOut` in assembly/scan_grad_layout.ts. */
function scratchBytes(length: number, headDim: number, dState: number): number {
  const chunks = Math.ceil(length / CHUNK);
  const tokens = chunks * CHUNK;
  const [P, N] = [4 * Math.ceil(headDim / 4), 4 * Math.ceil(dState / 4)];
  const ofTokens = tokens * (5 + 5 * N + 2 * CHUNK);
  const ofChunk = CHUNK * (2 * N + 5 * P + 3 * CHUNK + 1);
  return 128 + 4 * (ofTokens + (chunks + 2) * P * N + ofChunk);
}

export const ssdScanGradKernel = simdKernel('SsdScanGrad', (inputs, attrs, backend) => {
  const { x, dt, A, B, C, D, dtBias, state, dy, dstateOut } = inputs;
  const { runtime } = backend;
  const [batch = 0, length = 0, heads = 0, headDim = 0] = x.shape;
  const [, , groups = 0, dState = 0] = B.shape;
  const dx = backend.allocate(x.shape);
  const ddt = backend.allocate(dt.shape);
  const dA = backend.allocate(A.shape);
  const dB = backend.allocate(B.shape);
  const dC = backend.allocate(C.shape);
  const dD = isGiven(D) ? backend.allocate(D.shape) : undefined;
  const ddtBias = isGiven(dtBias) ? backend.allocate(dtBias.shape) : undefined;
  const dstate = isGiven(state) ? backend.allocate(state.shape) : undefined;

  const blocks = Math.ceil(heads / groups / HEADS_PER_UNIT);

  withTemporaries(runtime, (temporaries) => {
    const perToken = batch * length * groups * blocks * dState * 4;
    const parts = {
      A: temporaries.allocate(batch * heads * 4),
      B: blocks === 1 ? dB.address : temporaries.allocate(perToken),
      C: blocks === 1 ? dC.address : temporaries.allocate(perToken),
      D: D ? temporaries.allocate(batch * D.size * 4) : 0,
    };
    const dyAt = backend.address(dy);
    const dstateAt = optionalAddress(backend, dstateOut);
    setScanArguments(runtime, {
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
      y: 0,
      yStride: 0,
      before: optionalAddress(backend, state),
      after: 0,
      batch,
      length,
      heads,
      headDim,
      dState,
      groups,
      ...attrs,
    });
    const made = [dx.address, ddt.address, parts.A, parts.B, parts.C, dD ? parts.D : 0];
    runtime.args.set([dyAt, dstateAt, ...made, dstate?.address ?? 0, blocks], 24);
    const units = batch * groups * blocks;
    const cost = (length * headDim * dState * 6 * heads) / (groups * blocks);
    const scratch = scratchBytes(length, headDim, dState);
    runtime.run(KernelId.SsdScanGrad, units, runtime.chunk(cost), scratch);
    sumMiddle(backend, parts.A, dA.address, 1, batch, heads);
    if (blocks > 1) {
      sumMiddle(backend, parts.B, dB.address, batch * length * groups, blocks, dState);
      sumMiddle(backend, parts.C, dC.address, batch * length * groups, blocks, dState);
    }
    if (D && dD) sumMiddle(backend, parts.D, dD.address, 1, batch, D.size);
    if (ddtBias) sumMiddle(backend, ddt.address, ddtBias.address, 1, batch * length, heads);
  });
  return [dx, ddt, dA, dB, dC, dD, ddtBias, dstate].flatMap((made) => (made ? [made.info] : []));
});
