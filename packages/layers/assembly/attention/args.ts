// Arguments of attention, its gradient and the update of its KV cache.

export enum AttentionArg {
  q,
  qStride,
  /** The call's own keys and values; not read if the cache contains them already. */
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
  /** How many of the call's own tokens the cache contains already: all or none. */
  written,
  /** Whether keys and values are bf16. */
  isBf16,
}

/** The call's keys and values go to the cache. */
export enum WriteKvCacheArg {
  k,
  v,
  kvStride,
  cacheK,
  cacheV,
  capacity,
  kvHeads,
  positions,
  length,
  headDim,
  isBf16,
}

/** Queries and keys are turned by their positions. */
export enum RotaryArg {
  x,
  xStride,
  frequencies,
  /** i32 (B): tokens before the call; 0 for none. */
  positions,
  length,
  /** Of queries and keys together. */
  heads,
  headDim,
  /** Half of the numbers of a head that are turned. */
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
