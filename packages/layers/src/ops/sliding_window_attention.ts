// slidingWindowAttention: causal attention within a window of tokens, with a KV cache.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError, InvalidArgumentError } from '../errors.js';
import { grownKvCache, kvCacheFormatOf, kvCacheShapeOf, takesBf16KvCaches } from '../kv_cache.js';
import { output, runKernel } from '../registry.js';
import { checkInteger, ShapeChecker } from './checks.js';

/** A KV cache (ring buffer): the keys and values of position t are at slot t mod capacity. */
export interface KvCache {
  /** (B, capacity, Hkv, P); or bf16 values in pairs, int32 (B, Hkv, capacity, P / 2). */
  k: tf.Tensor;
  /** The values, in k's layout. */
  v: tf.Tensor;
  /** Number of tokens that each row has seen. */
  positions: readonly number[];
}

/** Options of slidingWindowAttention. */
export interface SlidingWindowAttentionOptions {
  /** Number of keys that a token attends to, itself included. Default: null, no limit. */
  window?: number | null;
  /** Factor on the scores. Default: 1 / sqrt(P). */
  scale?: number;
  /** Whether a backend may round keys, values and factors to bf16. Default: false. */
  rounds?: boolean;
  /** KV cache of the tokens before q. Default: none; q starts the text and no cache is returned. */
  cache?: KvCache | undefined;
}

/**
 * softmax(scale q k^T) v, where token i attends to tokens i - window + 1 ... i. No positional encoding.
 * Query head h uses key head floor(h / (H / Hkv)). Memory grows with length x window, not with length x
 * length.
 *
 * @param q (B, L, H, P)
 * @param k (B, L, Hkv, P)
 * @param v (B, L, Hkv, P)
 * @returns y (B, L, H, P) and, if a cache was given, the cache after these tokens
 */
export function slidingWindowAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  { window, scale, rounds, cache }: SlidingWindowAttentionOptions = {},
): { y: tf.Tensor; cache?: KvCache } {
  const shapes = new ShapeChecker('slidingWindowAttention');
  shapes.check('q', q, ['B', 'L', 'H', 'P']);
  shapes.check('k', k, ['B', 'L', 'Hkv', 'P']);
  shapes.check('v', v, ['B', 'L', 'Hkv', 'P']);
  if (shapes.size('H') % shapes.size('Hkv') !== 0) {
    throw new InvalidArgumentError(
      'slidingWindowAttention: k',
      `a number of heads that divides the ${shapes.size('H')} query heads`,
      String(shapes.size('Hkv')),
    );
  }
  if (window != null) checkInteger('slidingWindowAttention: window', window, 1);
  const attrs = {
    window: window ?? Number.POSITIVE_INFINITY,
    scale: scale ?? 1 / Math.sqrt(shapes.size('P')),
    ...(rounds && { rounds }),
  };
  return runWithCache(
    { op: 'slidingWindowAttention', shapes, headDim: shapes.size('P'), window: attrs.window },
    cache,
    (caches, positions) =>
      runKernel('SlidingWindowAttention', { q, k, v, ...caches }, { ...attrs, positions }),
  );
}

/**
 * Checks a cache against the axes B, L and Hkv, grows it if necessary, and runs a kernel that advances it.
 *
 * @param run returns [y], or [y, cacheK, cacheV] if it receives caches
 */
export function runWithCache(
  { op, shapes, headDim, window }: CacheUser,
  cache: KvCache | undefined,
  run: (caches: { cacheK?: tf.Tensor; cacheV?: tf.Tensor }, positions: number[]) => tf.Tensor[],
): { y: tf.Tensor; cache?: KvCache } {
  if (!cache) return { y: output(run({}, []), 0) };
  checkFormat(op, cache, headDim);
  for (const [name, numbers] of [['cache.k', cache.k] as const, ['cache.v', cache.v] as const]) {
    const axes = isBf16(cache) ? ['B', 'Hkv', 'C', headDim / 2] : ['B', 'C', 'Hkv', headDim];
    shapes.check(name, numbers, axes, isBf16(cache) ? 'int32' : 'float32');
  }
  checkPositions(op, cache.positions, shapes.size('B'));
  checkCapacity(op, shapes.size('C'), window, Math.max(...cache.positions));
  const length = shapes.size('L');
  const positions = [...cache.positions];
  const needed = Math.min(window, Math.max(...positions) + length);
  const [cacheK, cacheV] = cacheOfCapacity(cache, needed, window);
  try {
    const outputs = run({ cacheK, cacheV }, positions);
    return {
      y: output(outputs, 0),
      cache: {
        k: output(outputs, 1),
        v: output(outputs, 2),
        positions: positions.map((p) => p + length),
      },
    };
  } finally {
    // Dispose a grown copy of the cache, but not the caller's cache.
    if (cacheK !== cache.k) tf.dispose([cacheK, cacheV]);
  }
}

/** Name and axes of an op with a KV cache. */
interface CacheUser {
  op: string;
  shapes: ShapeChecker;
  headDim: number;
  window: number;
}

function isBf16({ k, v }: Pick<KvCache, 'k' | 'v'>): boolean {
  return kvCacheFormatOf(k) === 'bf16' && kvCacheFormatOf(v) === 'bf16';
}

function checkFormat(op: string, { k, v }: KvCache, headDim: number): void {
  if (!isBf16({ k, v }) || takesBf16KvCaches(headDim)) return;
  throw new BackendError(
    `${op}: the backend '${tf.getBackend()}' supports only f32 KV caches for head size ` +
      `${headDim}, found bf16; use a state on the backend that created it`,
  );
}

function checkPositions(op: string, positions: readonly number[], batch: number): void {
  if (positions.length !== batch) {
    throw new InvalidArgumentError(
      `${op}: cache.positions`,
      `one for each of the ${batch} rows`,
      String(positions.length),
    );
  }
  for (const p of positions) checkInteger(`${op}: cache.positions`, p, 0);
}

/** Slots beyond the window would be attended to; with fewer slots than tokens seen, tokens would be lost. */
function checkCapacity(op: string, capacity: number, window: number, seen: number): void {
  const least = Math.max(1, Math.min(window, seen));
  if (capacity >= least && capacity <= window) return;
  const expected = `from ${least} to ${window} slots (window ${window}, ${seen} tokens seen)`;
  throw new InvalidArgumentError(`${op}: cache.k`, expected, String(capacity));
}

/**
 * The cache with room for `needed` tokens. Its capacity at least doubles, up to the window. A cache that
 * can still grow has not wrapped, so slots stay the same.
 */
function cacheOfCapacity(cache: KvCache, needed: number, window: number): [tf.Tensor, tf.Tensor] {
  const [, capacity] = kvCacheShapeOf(cache.k);
  if (capacity >= needed) return [cache.k, cache.v];
  const grown = Math.min(window, Math.max(needed, 2 * capacity));
  return [grownKvCache(cache.k, grown), grownKvCache(cache.v, grown)];
}
