// SsdScanGrad: chunks on their own, their states and the states' gradients handed on between them,
// then the parts that heads or chunks share are summed.
import { BackendError } from '../../errors.js';
import { cudaKernel, isGiven, optionalAddress } from './kernel.js';
import { sumMiddle } from './reductions.js';
import { withTemporaries } from './temporaries.js';

/** A chunk's tokens, and the numbers of a slab; see ssd_scan_grad.cu. */
const TOKENS = 32;
const SLAB = 32;
const SLAB_PITCH = SLAB + 1;
/** Sizes of heads that there are kernels for. */
const HEAD_DIMS = [64, 128];

export const ssdScanGradKernel = cudaKernel('SsdScanGrad', (inputs, attrs, backend) => {
  const { x, dt, A, B, C, D, dtBias, state, dy, dstateOut } = inputs;
  const { runtime } = backend;
  const [batch = 0, length = 0, heads = 0, headDim = 0] = x.shape;
  const [, , groups = 0, dState = 0] = B.shape;
  const dim = HEAD_DIMS.find((n) => n >= headDim);
  if (dim === undefined) {
    throw new BackendError(
      `the scan's gradient on 'cuda' has kernels for heads of up to 128 channels, not ${headDim}`,
    );
  }
  const chunks = Math.ceil(length / TOKENS);
  const optional = (given: typeof state) =>
    isGiven(given) ? backend.allocate(given.shape) : undefined;
  const [dx, ddt, dA, dB, dC] = [x, dt, A, B, C].map(({ shape }) => backend.allocate(shape));
  const [dD, ddtBias, dstate] = [D, dtBias, state].map(optional);

  withTemporaries(runtime, (temporaries) => {
    const numbers = (count: number) => temporaries.allocate(count * 4);
    const stateSize = headDim * dState;
    const perToken = batch * length * heads * dState;
    const rows = batch * chunks;
    const skips = D?.size ?? 0;
    const parts = {
      A: numbers(rows * heads),
      B: numbers(perToken),
      C: numbers(perToken),
      D: dD ? numbers(rows * skips) : 0,
      dtBias: ddtBias ? numbers(rows * heads) : 0,
    };
    const states = [numbers(rows * heads * stateSize), numbers(rows * heads * stateSize)];
    const pointers = [
      ...[x, B, C, dt, A, D, dtBias, state, dy, dstateOut].map((t) => optionalAddress(backend, t)),
      ...[dx, ddt, dstate].map((made) => made?.address ?? 0),
      ...[parts.A, parts.B, parts.C, parts.D, parts.dtBias, ...states, numbers(rows * heads)],
    ];
    const integers = [
      ...[length, heads, headDim, dState, groups, chunks],
      ...[D?.rank === 2 ? 1 : 0, attrs.dtSoftplus ? 1 : 0],
    ];
    const launch = (kernel: string, across: number, shared: number) =>
      runtime.launch(
        kernel,
        { grid: [across, heads, batch], block: 256, sharedBytes: shared * 4 },
        pointers,
        integers,
        [attrs.dtMin, attrs.dtMax],
      );
    const channels = 2 * TOKENS * (dim + 1);
    const slab = TOKENS * SLAB_PITCH;
    launch(`scan_grad_states_${dim}`, chunks, channels + 2 * slab);
    launch('scan_grad_carry', Math.ceil(stateSize / 256), 0);
    launch(`scan_grad_chunks_${dim}`, chunks, channels + 2 * dim * SLAB_PITCH + 4 * slab);

    const sum = (from: number, to: typeof dx, outer: number, middle: number, inner: number) => {
      if (to) sumMiddle(runtime, from, to.address, outer, middle, inner);
    };
    sum(parts.A, dA, 1, rows, heads);
    sum(parts.B, dB, batch * length * groups, heads / groups, dState);
    sum(parts.C, dC, batch * length * groups, heads / groups, dState);
    sum(parts.D, dD, 1, rows, skips);
    sum(parts.dtBias, ddtBias, 1, rows, heads);
  });
  return [dx, ddt, dA, dB, dC, dD, ddtBias, dstate].flatMap((made) => (made ? [made.info] : []));
});
