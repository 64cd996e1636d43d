// The launches of attention over the KV cache and the call's own keys and values, which are written to the
// cache.
//
// With a bf16 cache (see ../../kv_cache.ts) the call's own keys and values are rounded too, also without a
// cache if it would be bf16: results are bitwise identical for any chunks in which a sequence is fed.
import { AttentionArg, WriteKvCacheArg } from '../../../assembly/attention/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import { takesBf16KvCaches } from '../../kv_cache.js';
import type { AttentionCall, CacheCall } from '../native/calls.js';
import { type Temporaries, withTemporaries } from '../native/memory.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';

/** Queries of a unit. */
const BLOCK = 16;
const UNLIMITED = 0x7fffffff;

const attentionArguments = new ArgumentLayout(AttentionArg, ['scale']);
const writeArguments = new ArgumentLayout(WriteKvCacheArg);

export function attend(runtime: Runtime, call: AttentionCall): void {
  const { cache } = call;
  const isReadOnly = cache?.isReadOnly ?? false;
  if (cache && call.length === 1 && !isReadOnly) {
    // The slot holds a token outside this one's window.
    addTo(runtime, call, cache);
    attendTo(runtime, call, { ...cache, written: 1 });
    return;
  }
  const format = cache?.format ?? (call.rounds && takesBf16KvCaches(call.headDim) ? 'bf16' : 'f32');
  withTemporaries(runtime.temporaries, (temporaries) => {
    const own = format === 'bf16' ? rounded(runtime, temporaries, call) : call;
    attendTo(runtime, Object.assign({}, call, own), { ...NO_CACHE, ...cache, format });
  });
  if (cache && !isReadOnly) addTo(runtime, call, cache);
}

/** Adds the call's keys and values to its cache. */
export function writeCache(runtime: Runtime, call: AttentionCall): void {
  if (call.cache) addTo(runtime, call, call.cache);
}

const NO_CACHE = { k: 0, v: 0, capacity: 0, positions: 0, written: 0 };

/**
 * @param call keys and values are f32 token by token, or in the cache's layout if that is bf16
 * @param cache `written`: how many of the call's own tokens it contains, all or none
 */
function attendTo(
  runtime: Runtime,
  call: AttentionCall,
  cache: CacheCall & { written: number },
): void {
  const { batch, length, heads, kvHeads, headDim, window, maxKeys } = call;
  const isBf16 = cache.format === 'bf16';
  // Length of a row of scores: the keys that four adjacent queries attend to.
  const scores = Math.ceil((maxKeys + 4) / 4) * 4;
  const block = length >= 4 ? BLOCK : length;
  // A head's bf16 keys are read sequentially, f32 keys token by token.
  const headBlock = length >= 4 || isBf16 ? 1 : Math.ceil(kvHeads / (2 * runtime.threads));
  const blocks = Math.ceil(length / block);
  const headBlocks = Math.ceil(kvHeads / headBlock);
  attentionArguments.write(runtime, call, {
    cacheK: cache.k,
    cacheV: cache.v,
    capacity: cache.capacity,
    positions: cache.positions,
    window: Math.min(window, UNLIMITED),
    block,
    headBlock,
    blocks,
    headBlocks,
    scores,
    isBf16,
    written: cache.written,
  });
  const unitHeads = (headBlock * heads) / kvHeads;
  const units = batch * blocks * headBlocks;
  const cost = 2 * unitHeads * headDim * block * scores;
  const scratch = Math.max(4, unitHeads) * (scores + 1 + (isBf16 ? headDim : 0)) * 4;
  runtime.run(KernelId.Attention, units, runtime.chunk(cost), scratch);
}

/** The call's own keys and values as a bf16 cache of their own. */
function rounded(
  runtime: Runtime,
  temporaries: Temporaries,
  call: AttentionCall,
): Pick<AttentionCall, 'k' | 'v' | 'kvStride'> {
  const { batch, length, kvHeads, headDim } = call;
  const bytes = batch * length * kvHeads * headDim * 2;
  const [k, v] = [temporaries.allocate(bytes), temporaries.allocate(bytes)];
  addTo(runtime, call, { k, v, capacity: length, format: 'bf16', positions: 0 });
  return { k, v, kvStride: 0 };
}

function addTo(runtime: Runtime, call: AttentionCall, cache: CacheCall): void {
  const { batch, length, kvHeads, headDim } = call;
  writeArguments.write(runtime, call, {
    cacheK: cache.k,
    cacheV: cache.v,
    capacity: cache.capacity,
    positions: cache.positions,
    isBf16: cache.format === 'bf16',
  });
  runtime.run(KernelId.WriteKvCache, batch * length, runtime.chunk(kvHeads * headDim));
}
