// The launches of the gradient of the scan: chunks, the recurrence of states and their gradients over
// chunks, and the sums of partial sums over heads and chunks.
import { BackendError } from '../../errors.js';
import type { ScanGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { sumMiddle } from './reductions.js';
import type { Runtime } from './runtime.js';

/** Tokens per chunk, and columns per slab; see ssd_scan_grad.cu. */
const TOKENS = 32;
const SLAB = 32;
const SLAB_PITCH = SLAB + 1;
/** Head sizes of the kernels. */
const HEAD_DIMS = [64, 128];

export function scanGrad(runtime: Runtime, call: ScanGradCall): void {
  const { x, B, C, dt, A, D, dtBias, before, dy, dafter } = call;
  const { dx, ddt, dbefore, dD, ddtBias } = call;
  const { batch, length, heads, headDim, dState, groups, dPerChannel, dtSoftplus } = call;
  const dim = HEAD_DIMS.find((n) => n >= headDim);
  if (dim === undefined) {
    throw new BackendError(
      `headDim: the gradient of the scan on 'cuda' supports up to 128, found ${headDim}`,
    );
  }
  const chunks = Math.ceil(length / TOKENS);
  withTemporaries(runtime.pool, (temporaries) => {
    const numbers = (count: number) => temporaries.allocate(count * 4);
    const stateSize = headDim * dState;
    const perToken = batch * length * heads * dState;
    const rows = batch * chunks;
    const skips = dPerChannel ? heads * headDim : heads;
    const parts = {
      A: numbers(rows * heads),
      B: numbers(perToken),
      C: numbers(perToken),
      D: dD ? numbers(rows * skips) : 0,
      dtBias: ddtBias ? numbers(rows * heads) : 0,
    };
    const states = [numbers(rows * heads * stateSize), numbers(rows * heads * stateSize)];
    const pointers = [
      ...[x, B, C, dt, A, D, dtBias, before, dy, dafter, dx, ddt, dbefore],
      ...[parts.A, parts.B, parts.C, parts.D, parts.dtBias, ...states, numbers(rows * heads)],
    ];
    const integers = [
      ...[length, heads, headDim, dState, groups, chunks],
      ...[dPerChannel ? 1 : 0, dtSoftplus ? 1 : 0],
    ];
    const launch = (kernel: string, across: number, shared: number) =>
      runtime.launch(
        kernel,
        { grid: [across, heads, batch], block: 256, sharedBytes: shared * 4 },
        pointers,
        integers,
        [call.dtMin, call.dtMax],
      );
    const channels = 2 * TOKENS * (dim + 1);
    const slab = TOKENS * SLAB_PITCH;
    launch(`scan_grad_states_${dim}`, chunks, channels + 2 * slab);
    launch('scan_grad_carry', Math.ceil(stateSize / 256), 0);
    launch(`scan_grad_chunks_${dim}`, chunks, channels + 2 * dim * SLAB_PITCH + 4 * slab);

    sumMiddle(runtime, parts.A, call.dA, 1, rows, heads);
    sumMiddle(runtime, parts.B, call.dB, batch * length * groups, heads / groups, dState);
    sumMiddle(runtime, parts.C, call.dC, batch * length * groups, heads / groups, dState);
    if (dD) sumMiddle(runtime, parts.D, dD, 1, rows, skips);
    if (ddtBias) sumMiddle(runtime, parts.dtBias, ddtBias, 1, rows, heads);
  });
}
