// The launches of attention to the KV cache and to the keys and values of the call, which are then cached.
import type { AttentionCall } from '../native/calls.js';
import { withTemporaries } from '../native/memory.js';
import { MANY_TOKENS } from './activations.js';
import { formatIds } from './layout.js';
import { type Runtime, UNLIMITED } from './runtime.js';

/** Head sizes of the tensor-core kernels, and tokens per tile; see attention_tiles.cu. */
const TILED_DIMS = [64, 128];
const TILE_TOKENS = 64;
/** Warps per block; see sliding_window_attention.cu. */
const WARPS = 4;

export function attend(runtime: Runtime, call: AttentionCall): void {
  const { batch, length, heads, headDim, cache } = call;
  const tokens = batch * length;
  const columns =
    call.rounds && length >= MANY_TOKENS ? TILED_DIMS.find((n) => n >= headDim) : undefined;
  const wanted = Math.ceil((4 * runtime.device.multiprocessors) / (tokens * heads));
  const most = Math.ceil(call.maxKeys / (WARPS * 32));
  const splits = columns ? 1 : Math.max(1, Math.min(wanted, most));
  // A single token is cached by the attention kernel itself: no block reads the slot that it overwrites.
  const writesDirectly = length === 1;
  withTemporaries(runtime.pool, (temporaries) => {
    const partial =
      splits > 1 ? temporaries.allocate(splits * tokens * heads * (headDim + 2) * 4) : 0;
    const pointers = (writesCache: boolean) => [
      ...[call.q, call.k, call.v, cache?.k ?? 0, cache?.v ?? 0, cache?.positions ?? 0],
      ...[call.y, partial],
      ...(writesCache && cache ? [cache.k, cache.v] : [0, 0]),
    ];
    const integers = [
      ...[call.qStride, call.kvStride, call.yStride, length, heads, call.kvHeads, headDim],
      ...[Math.max(1, cache?.capacity ?? 0), Math.min(call.window, UNLIMITED), splits],
      ...[cache?.format === 'bf16' ? 1 : 0, call.format === 'bf16' ? 1 : 0],
      formatIds[call.yFormat ?? 'f32'],
    ];
    const floats = [call.scale];
    if (columns !== undefined) {
      const grid = [Math.ceil(length / TILE_TOKENS), heads, batch] as const;
      const sharedBytes = 2 * TILE_TOKENS * (columns + 8) * 2;
      const launch = { grid, block: 128, sharedBytes };
      runtime.launch(`attend_tile_${columns}`, launch, pointers(false), integers, floats);
    } else {
      const grid = [length * splits, heads, batch] as const;
      const sharedBytes = (headDim + WARPS * (headDim + 2)) * 4;
      const launch = { grid, block: WARPS * 32, sharedBytes };
      const kernel = call.format === 'bf16' ? 'attend_bf16' : 'attend';
      runtime.launch(kernel, launch, pointers(writesDirectly), integers, floats);
    }
    if (splits > 1) {
      const launch = { grid: [tokens, heads], block: 128 } as const;
      runtime.launch('attend_combine', launch, pointers(false), integers, floats);
    }
    if (cache && !writesDirectly) {
      const launch = { grid: [length, batch], block: 256 } as const;
      runtime.launch('write_kv_cache', launch, pointers(true), integers, floats);
    }
  });
}
