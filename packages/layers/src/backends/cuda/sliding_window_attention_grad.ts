// The launches of the gradient of attention: one kernel by tiles of queries, one by tiles of keys.
import { BackendError } from '../../errors.js';
import type { AttentionGradCall } from '../native/gradient_calls.js';
import { withTemporaries } from '../native/memory.js';
import { type Runtime, UNLIMITED } from './runtime.js';

/** Head sizes of the kernels, and tokens per tile. */
const TILES = [
  { dim: 64, tokens: 32 },
  { dim: 128, tokens: 32 },
  { dim: 256, tokens: 16 },
];

export function attendGrad(runtime: Runtime, call: AttentionGradCall): void {
  const { q, k, v, dy, dq, dk, dv, batch, length, heads, kvHeads, headDim, window, scale } = call;
  const tile = TILES.find(({ dim }) => dim >= headDim);
  if (!tile) {
    throw new BackendError(
      `headDim: the gradient of attention on 'cuda' supports up to 256, found ${headDim}`,
    );
  }
  const { dim, tokens } = tile;
  withTemporaries(runtime.pool, (temporaries) => {
    const stats = temporaries.allocate(batch * heads * length * 8);
    const pointers = [q, k, v, dy, stats, dq, dk, dv];
    const integers = [length, heads, kvHeads, headDim, Math.min(window, UNLIMITED)];
    const tiles = Math.ceil(length / tokens);
    const rows = 4 * tokens * (dim + 1);
    const square = tokens * (tokens + 1);
    runtime.launch(
      `attention_grad_queries_${dim}`,
      { grid: [tiles, heads, batch], block: 256, sharedBytes: (rows + square) * 4 },
      pointers,
      integers,
      [scale],
    );
    runtime.launch(
      `attention_grad_keys_${dim}`,
      { grid: [tiles, kvHeads, batch], block: 256, sharedBytes: (rows + 2 * square) * 4 },
      pointers,
      integers,
      [scale],
    );
  });
}
