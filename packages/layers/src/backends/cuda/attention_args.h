// Arguments of the attention kernels, and access to the KV cache.
#pragma once
#include "activations.h"

struct AttentionArgs {
  /** f32 or bf16. */
  const void *q, *k, *v;
  /** KV cache (ring buffer): [sequence][slot][kv head][head_dim], f32 or bf16. */
  const void *cache_k, *cache_v;
  /** Number of tokens before this call, per sequence. Null: 0. */
  const int *positions;
  /** f32, or 16-bit values for the next matmul. */
  void *y;
  /** With several splits: [split][token][head][head_dim + 2], combined by attend_combine. */
  float *partial;
  /** KV cache to which the keys and values of this call are written; null if they are not. */
  void *write_k, *write_v;
  int q_stride, kv_stride, y_stride, length, heads, kv_heads, head_dim, capacity, window, splits;
  /** Whether the cache is bf16; whether q, k and v are bf16; the format of y. */
  int bf16_cache, bf16, y_format;
  float scale;
};

/** Key or value of token j and kv head h: in `call` if it belongs to this call, else in the cache. */
static __device__ __forceinline__ Row token_at(const AttentionArgs &a, const void *cache,
                                               const void *call, bool bf16, size_t b, int position,
                                               int j, int h) {
  if (j >= position) {
    size_t at = (b * a.length + j - position) * a.kv_stride + h * a.head_dim;
    if (bf16) return {static_cast<const uint16_t *>(call) + at, true};
    return {static_cast<const float *>(call) + at, false};
  }
  size_t at = ((b * a.capacity + j % a.capacity) * a.kv_heads + h) * a.head_dim;
  if (a.bf16_cache) return {static_cast<const uint16_t *>(cache) + at, true};
  return {static_cast<const float *>(cache) + at, false};
}

/** Copies one element of k and v from index `from` of the call to index `to` of the cache. */
static __device__ __forceinline__ void write_to_cache(const AttentionArgs &a, size_t to,
                                                      size_t from) {
  int format = a.bf16_cache ? BF16 : F32;
  store_value(a.write_k, format, to, Row{a.k, a.bf16 != 0}[from]);
  store_value(a.write_v, format, to, Row{a.v, a.bf16 != 0}[from]);
}
