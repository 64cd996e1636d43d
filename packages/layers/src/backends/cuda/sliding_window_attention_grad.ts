// SlidingWindowAttentionGrad: one kernel by tiles of queries, one by tiles of keys.
import { BackendError } from '../../errors.js';
import { cudaKernel } from './kernel.js';
import { UNLIMITED } from './runtime.js';
import { withTemporaries } from './temporaries.js';

/** The sizes of heads that there are kernels for, and a tile's tokens. */
const TILES = [
  { dim: 64, tokens: 32 },
  { dim: 128, tokens: 32 },
  { dim: 256, tokens: 16 },
];

export const slidingWindowAttentionGradKernel = cudaKernel(
  'SlidingWindowAttentionGrad',
  ({ q, k, v, dy }, { window, scale }, backend) => {
    const { runtime } = backend;
    const [batch = 0, length = 0, heads = 0, headDim = 0] = q.shape;
    const kvHeads = k.shape[2] ?? 1;
    const tile = TILES.find(({ dim }) => dim >= headDim);
    if (!tile) {
      throw new BackendError(
        `attention's gradient on 'cuda' has kernels for heads of up to 256, not ${headDim}`,
      );
    }
    const { dim, tokens } = tile;
    const dq = backend.allocate(q.shape);
    const dk = backend.allocate(k.shape);
    const dv = backend.allocate(v.shape);
    withTemporaries(runtime, (temporaries) => {
      const stats = temporaries.allocate(batch * heads * length * 8);
      const pointers = [
        ...[q, k, v, dy].map((tensor) => backend.address(tensor)),
        ...[stats, dq.address, dk.address, dv.address],
      ];
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
    return [dq.info, dk.info, dv.info];
  },
);
