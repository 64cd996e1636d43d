// The launches of the scan's gradient: some heads of a sequence at a time; then the parts shared by heads
// or sequences are summed.
import { KernelId } from '../../../assembly/kernel_ids.js';
import { ScanGradArg } from '../../../assembly/ssd_scan/args.js';
import type { ScanGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';
import { scanArguments } from './ssd_scan.js';
import { sumMiddle } from './sum_middle.js';

/** Tokens of a chunk; see assembly/ssd_scan/grad_layout.ts. */
const CHUNK = 32;
/** Maximum number of heads per unit, which share the matmuls of B and C. */
const HEADS_PER_UNIT = 8;

const gradArguments = new ArgumentLayout(ScanGradArg);

/** Scratch bytes per thread; see `layOut` in assembly/ssd_scan/grad_layout.ts. */
function scratchBytes(length: number, headDim: number, dState: number): number {
  const chunks = Math.ceil(length / CHUNK);
  const tokens = chunks * CHUNK;
  const [P, N] = [4 * Math.ceil(headDim / 4), 4 * Math.ceil(dState / 4)];
  const ofTokens = tokens * (5 + 5 * N + 2 * CHUNK);
  const ofChunk = CHUNK * (2 * N + 5 * P + 3 * CHUNK + 1);
  return 128 + 4 * (ofTokens + (chunks + 2) * P * N + ofChunk);
}

export function scanGrad(runtime: Runtime, call: ScanGradCall): void {
  const { batch, length, heads, headDim, dState, groups } = call;
  const { ddt, dA, dB, dC, dD, ddtBias } = call;
  const blocks = Math.ceil(heads / groups / HEADS_PER_UNIT);
  const skips = call.dPerChannel ? heads * headDim : heads;
  withTemporaries(runtime.temporaries, (temporaries) => {
    const perToken = batch * length * groups * blocks * dState * 4;
    const parts = {
      A: temporaries.allocate(batch * heads * 4),
      B: blocks === 1 ? dB : temporaries.allocate(perToken),
      C: blocks === 1 ? dC : temporaries.allocate(perToken),
      D: dD ? temporaries.allocate(batch * skips * 4) : 0,
    };
    scanArguments.write(runtime, call, {
      xStride: heads * headDim,
      bStride: groups * dState,
      cStride: groups * dState,
      dtStride: heads,
      y: 0,
      yStride: 0,
      after: 0,
      gate: 0,
      gateStride: 0,
    });
    const made = { dA: parts.A, dB: parts.B, dC: parts.C, dD: parts.D, blocks };
    gradArguments.write(runtime, call, made);
    const units = batch * groups * blocks;
    const cost = (length * headDim * dState * 6 * heads) / (groups * blocks);
    const scratch = scratchBytes(length, headDim, dState);
    runtime.run(KernelId.SsdScanGrad, units, runtime.chunk(cost), scratch);
    sumMiddle(runtime, parts.A, dA, 1, batch, heads);
    if (blocks > 1) {
      sumMiddle(runtime, parts.B, dB, batch * length * groups, blocks, dState);
      sumMiddle(runtime, parts.C, dC, batch * length * groups, blocks, dState);
    }
    if (dD) sumMiddle(runtime, parts.D, dD, 1, batch, skips);
    if (ddtBias) sumMiddle(runtime, ddt, ddtBias, 1, batch * length, heads);
  });
}
