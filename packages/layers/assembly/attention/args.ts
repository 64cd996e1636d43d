// Arguments of attention, its gradient and the update of its KV cache.

export enum AttentionArg {
  q,
  qStride,
  /** Keys and values of the call; not read if the cache contains them already. */
  k,
  v,
  /** Stride between tokens of k and v, if they are f32. */
  kvStride,
  y,
  yStride,
  /** f32 (B, C, Hkv, P) or bf16 (B, Hkv, C, P); 0 for none. */
  cacheK,
  cacheV,
  capacity,
  /** i32 (B): number of tokens before the call. */
  positions,
  length,
  heads,
  kvHeads,
  headDim,
  window,
  /** f32 */
  scale,
  /** Queries and key heads per unit, and units per sequence along each. */
  block,
  headBlock,
  blocks,
  headBlocks,
  /** Length of a row of scores. */
  scores,
  /** How many of the call's tokens the cache contains already: all or none. */
  written,
  /** Whether keys and values are bf16. */
  isBf16,
}

/** Arguments of the cache update with the call's keys and values. */
export enum WriteKvCacheArg {
  k,
  v,
  kvStride,
  cacheK,
  cacheV,
  capacity,
  kvHeads,
  /** i32 (B): number of tokens before the call; 0 for none. */
  positions,
  length,
  headDim,
  isBf16,
}

/** Arguments of the rotary position embedding. */
export enum RotaryArg {
  x,
  xStride,
  frequencies,
  /** i32 (B): tokens before the call; 0 for none. */
  positions,
  length,
  /** Total number of query and key heads. */
  heads,
  headDim,
  /** Half the number of a head's rotated channels. */
  half,
}

/** All tensors are contiguous. */
export enum AttentionGradArg {
  q,
  k,
  v,
  dy,
  dq,
  dk,
  dv,
  length,
  heads,
  kvHeads,
  headDim,
  window,
  /** f32 */
  scale,
  /**
   * Maximum number of keys that a block of queries attends to, with both ends rounded to multiples of four.
   */
  seen,
}
