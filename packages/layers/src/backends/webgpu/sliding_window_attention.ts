// The launches of sliding-window attention, with a KV cache and without.
import { BackendError } from '../../errors.js';
import type { Address } from '../native/address.js';
import type { AttentionCall } from '../native/calls.js';
import { withTemporaries } from '../native/memory.js';
import { gridParts } from './grid.js';
import type { WebGpuRuntime } from './runtime.js';
import {
  attendKernel,
  joinPartsKernel,
  PART_EXTRA,
  writeCacheKernel,
} from './sliding_window_attention.wgsl.js';

/** Longer windows are as good as none. */
const UNLIMITED = 2 ** 31;
/** Keys that a workgroup walks before others share them, where a call has few tokens. */
const SPLIT_KEYS = 256;
const MOST_SPLITS = 32;

export function attend(runtime: WebGpuRuntime, call: AttentionCall): void {
  const { batch, length, heads, kvHeads, headDim, cache, y } = call;
  if (cache && cache.format !== 'f32') {
    throw new BackendError(`webgpu: a KV cache is f32, not ${cache.format}`);
  }
  const { kvStride, yStride } = call;
  const width = isVector(call) ? 4 : 1;
  const splits = width === 4 ? splitsOf(call) : 1;
  if (splits === 1) {
    launchAttention(runtime, call, width, { splits, y, yStride });
  } else {
    withTemporaries(runtime.pool, (temporaries) => {
      const rows = batch * heads * length * splits;
      const parts = temporaries.allocate(rows * (headDim + PART_EXTRA) * 4);
      launchAttention(runtime, call, width, { splits, y: parts, yStride: 0 });
      const sizes = { length, heads, head_dim: headDim, y_stride: yStride, splits };
      runtime.launch(joinPartsKernel, [length, heads, batch], { parts, y }, sizes);
    });
  }
  if (!cache || length === 1) return;
  const { capacity } = cache;
  const left = Math.max(0, length - capacity);
  for (const { first, size } of gridParts(runtime, length - left)) {
    runtime.launch(writeCacheKernel, [size, batch], memoryOf(call), {
      length,
      row_numbers: kvHeads * headDim,
      kv_stride: kvStride,
      capacity,
      first: left + first,
    });
  }
}

function memoryOf({ q, k, v, cache }: AttentionCall) {
  const positions = cache?.positions ?? 0;
  return { q, k, v, cache_k: cache?.k ?? 0, cache_v: cache?.v ?? 0, positions };
}

function launchAttention(
  runtime: WebGpuRuntime,
  call: AttentionCall,
  width: 1 | 4,
  { splits, y, yStride }: { splits: number; y: Address; yStride: number },
): void {
  const { batch, length, heads, kvHeads, cache, qStride, kvStride } = call;
  const headDim = call.headDim / width;
  const tile = runtime.workgroup;
  const perInvocation = Math.ceil(headDim / tile);
  const kernel = attendKernel({ perInvocation, tile, width, isSplit: splits > 1 });
  const memory = { ...memoryOf(call), y };
  const scalars = {
    length,
    heads,
    kv_heads: kvHeads,
    head_dim: headDim,
    q_stride: qStride / width,
    kv_stride: kvStride / width,
    y_stride: yStride / width,
    capacity: Math.max(1, cache?.capacity ?? 0),
    window: Math.min(call.window, UNLIMITED),
    writes: cache && length === 1 ? 1 : 0,
    splits,
    scale: call.scale,
  };
  // Several splits are those of a single query.
  for (const { first, size } of gridParts(runtime, length)) {
    const grid = [size * splits, heads, batch] as const;
    runtime.launch(kernel, grid, memory, { ...scalars, first_query: first });
  }
}

/** Workgroups that share the keys of a token and head. */
function splitsOf({ length, window, cache }: AttentionCall): number {
  if (length > 1 || !cache) return 1;
  const keys = Math.min(window, cache.capacity);
  return Math.min(MOST_SPLITS, Math.ceil(keys / SPLIT_KEYS));
}

/** Whether all rows are whole vectors of 4 numbers. */
function isVector({ headDim, qStride, kvStride, yStride, q, k, v, y, cache }: AttentionCall) {
  const sizes = [headDim, qStride, kvStride, yStride];
  const addresses = [q, k, v, y, cache?.k ?? 0, cache?.v ?? 0];
  return sizes.every((n) => n % 4 === 0) && addresses.every((address) => address % 16 === 0);
}
