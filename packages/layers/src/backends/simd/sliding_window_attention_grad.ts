// SlidingWindowAttentionGrad.
import { simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';

export const slidingWindowAttentionGradKernel = simdKernel(
  'SlidingWindowAttentionGrad',
  ({ q, k, v, dy }, { window, scale }, backend) => {
    const { runtime } = backend;
    const [batch = 0, length = 0, heads = 0, dim = 0] = q.shape;
    const kvHeads = k.shape[2] ?? 1;
    const given = [q, k, v, dy].map((t) => backend.address(t));
    const dq = backend.allocate(q.shape);
    const dk = backend.allocate(k.shape);
    const dv = backend.allocate(v.shape);
    for (const { address } of [dk, dv]) runtime.floats(address, k.size).fill(0);
    const seen = Math.min(window, length);
    const sizes = [length, heads, kvHeads, dim, seen];
    runtime.args.set([...given, dq.address, dk.address, dv.address, ...sizes]);
    runtime.numbers[12] = scale;
    const units = batch * kvHeads;
    const cost = (heads / kvHeads) * length * seen * dim * 5;
    runtime.run(KernelId.AttentionGrad, units, runtime.chunk(cost), (2 * (length + 4) + 4) * 4);
    return [dq.info, dk.info, dv.info];
  },
);
