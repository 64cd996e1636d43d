// SlidingWindowAttentionGrad, without a KV cache. Outputs [dq, dk, dv].
import { addressesOf, gradientKernel, outputsLike } from './kernel.js';

export const slidingWindowAttentionGradKernel = gradientKernel(
  'SlidingWindowAttentionGrad',
  ({ q, k, v, dy }, { window, scale }, tensors) => {
    const [batch = 0, length = 0, heads = 0, headDim = 0] = q.shape;
    const [, , kvHeads = 1] = k.shape;
    const { infos, addresses } = outputsLike(tensors, { dq: q, dk: k, dv: v });
    const sizes = { batch, length, heads, kvHeads, headDim, window, scale };
    tensors.ops.attendGrad(Object.assign(addresses, addressesOf(tensors, { q, k, v, dy }), sizes));
    return infos;
  },
);
