// The launches of the norms' gradient: a block has some rows, whose parts of dweight are summed.
import type { NormGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { sumMiddle } from './reductions.js';
import type { Runtime } from './runtime.js';

/** The most parts of a dweight. */
const MOST_PARTS = 256;

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
