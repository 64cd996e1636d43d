// SlidingWindowAttentionGrad, without a KV cache. Outputs [dq, dk, dv].
import { gradientKernel, infosOf } from './kernel.js';

export const slidingWindowAttentionGradKernel = gradientKernel(
  'SlidingWindowAttentionGrad',
  ({ q, k, v, dy }, { window, scale }, tensors) => {
    const [batch = 0, length = 0, heads = 0, headDim = 0] = q.shape;
    const dq = tensors.allocate(q.shape);
    const dk = tensors.allocate(k.shape);
    const dv = tensors.allocate(v.shape);
    tensors.ops.attendGrad({
      q: tensors.address(q),
      k: tensors.address(k),
      v: tensors.address(v),
      dy: tensors.address(dy),
      dq: dq.address,
      dk: dk.address,
      dv: dv.address,
      batch,
      length,
      heads,
      kvHeads: k.shape[2] ?? 1,
      headDim,
      window,
      scale,
    });
    return infosOf([dq, dk, dv]);
  },
);
