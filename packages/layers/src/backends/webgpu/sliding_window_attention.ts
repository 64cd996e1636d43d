// The launches of sliding-window attention, with a KV cache and without.
import { BackendError } from '../../errors.js';
import type { AttentionCall } from '../native/calls.js';
import type { WebGpuRuntime } from './runtime.js';
import { attendKernel, writeCacheKernel } from './sliding_window_attention.wgsl.js';

/** Longer windows are as good as none. */
const UNLIMITED = 2 ** 31;

export function attend(runtime: WebGpuRuntime, call: AttentionCall): void {
  const { batch, length, heads, kvHeads, headDim, cache, q, k, v, y } = call;
  if (cache && cache.format !== 'f32') {
    throw new BackendError(`webgpu: a KV cache is f32, not ${cache.format}`);
  }
  const capacity = Math.max(1, cache?.capacity ?? 0);
  const writesDirectly = cache !== undefined && length === 1;
  const caches = { cache_k: cache?.k ?? 0, cache_v: cache?.v ?? 0 };
  const memory = { k, v, ...caches, positions: cache?.positions ?? 0 };
  runtime.launch(
    attendKernel(headDim, runtime.workgroup),
    [length, heads, batch],
    { ...memory, q, y },
    {
      length,
      heads,
      kv_heads: kvHeads,
      head_dim: headDim,
      q_stride: call.qStride,
      kv_stride: call.kvStride,
      y_stride: call.yStride,
      capacity,
      window: Math.min(call.window, UNLIMITED),
      writes: writesDirectly ? 1 : 0,
      scale: call.scale,
    },
  );
  if (!cache || writesDirectly) return;
  const first = Math.max(0, length - capacity);
  runtime.launch(writeCacheKernel, [length - first, batch], memory, {
    length,
    row_numbers: kvHeads * headDim,
    kv_stride: call.kvStride,
    capacity,
    first,
  });
}
