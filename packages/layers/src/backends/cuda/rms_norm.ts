// The launches of the RMS norm, gated or not, and its gradient.
import type { NormCall } from '../native/calls.js';
import type { NormGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { formatIds } from './layout.js';
import { sumMiddle } from './reductions.js';
import type { Runtime } from './runtime.js';

/** Maximum number of partial sums of dweight. */
const MOST_PARTS = 256;

export function norm(runtime: Runtime, call: NormCall): void {
  const groups = call.columns / call.groupSize;
  const block = Math.min(512, Math.max(32, Math.ceil(call.groupSize / 128) * 32));
  runtime.launch(
    call.xFormat === 'bf16' ? 'norm_rows_bf16' : 'norm_rows',
    { grid: [call.rows, groups], block },
    [call.x, call.z ?? 0, call.weight, call.y],
    [
      ...[call.xStride, call.zStride ?? 0, call.yStride, call.groupSize],
      ...[call.normBeforeGate ? 1 : 0, formatIds[call.yFormat ?? 'f32']],
    ],
    [call.eps],
  );
}

/** Each block has several rows. Their partial sums of dweight are summed afterwards. */
export function normGrad(runtime: Runtime, call: NormGradCall): void {
  const { x, z, weight, dy, dx, dweight, dz, rows, columns, groupSize } = call;
  const perBlock = Math.ceil(rows / MOST_PARTS);
  const blocks = Math.ceil(rows / perBlock);
  const block = Math.min(512, Math.max(32, Math.ceil(groupSize / 128) * 32));
  withTemporaries(runtime.pool, (temporaries) => {
    const parts = temporaries.allocate(blocks * columns * 4);
    runtime.launch(
      'rms_norm_grad',
      { grid: [blocks, columns / groupSize], block },
      [x, z, weight, dy, dx, dz, parts],
      [rows, columns, groupSize, perBlock, call.normBeforeGate ? 1 : 0],
      [call.eps],
    );
    sumMiddle(runtime, parts, dweight, 1, blocks, columns);
  });
}
