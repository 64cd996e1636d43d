// SlidingWindowAttentionGrad: some queries of a head at a time.
import { simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';

/** Queries of a block; see assembly/attention_grad.ts. */
const BLOCK = 32;

export const slidingWindowAttentionGradKernel = simdKernel(
  'SlidingWindowAttentionGrad',
  ({ q, k, v, dy }, { window, scale }, backend) => {
    const { runtime } = backend;
    const [batch = 0, length = 0, heads = 0, dim = 0] = q.shape;
    const kvHeads = k.shape[2] ?? 1;
    const given = [q, k, v, dy].map((t) => backend.address(t));
    const made = [q, k, v].map((t) => backend.allocate(t.shape));
    const reach = Math.min(window, length);
    const [L, D] = [filledUp(length), filledUp(dim)];
    // A block's first key and its last are moved apart to multiples of four.
    const seen = Math.min(L, filledUp(reach + BLOCK + 3));
    const sizes = [length, heads, kvHeads, dim, reach];
    runtime.args.set([...given, ...made.map(({ address }) => address), ...sizes]);
    runtime.numbers[12] = scale;
    runtime.args[13] = seen;
    const units = batch * kvHeads;
    const cost = (heads / kvHeads) * length * reach * dim * 5;
    const scratch = 4 * (5 * L * D + BLOCK * (5 * D + 3 * seen));
    runtime.run(KernelId.AttentionGrad, units, runtime.chunk(cost), scratch);
    return made.map(({ info }) => info);
  },
);

/** Up to a multiple of four. */
function filledUp(n: number): number {
  return 4 * Math.ceil(n / 4);
}
