// What the attention kernels are told, and where they find a token.
#pragma once
#include "activations.h"

struct AttentionArgs {
  /** f32 or bf16. */
  const void *q, *k, *v;
  /** [row][slot][kv head][head_dim], f32 or bf16. */
  const void *ring_k, *ring_v;
  /** Tokens that each row saw before this call; null for none. */
  const int *positions;
  /** f32, or 16-bit numbers for the product that follows. */
  void *y;
  /** With several splits: [split][row][head][head_dim + 2], put together by attend_combine. */
  float *partial;
  /** Where the call's own keys and values go, if it is one token; null if not into the ring. */
  void *write_k, *write_v;
  int q_stride, kv_stride, y_stride, length, heads, kv_heads, head_dim, capacity, window, splits;
  /** Whether the ring, read and written, is bf16; whether q, k and v are; what y is. */
  int bf16_ring, bf16, y_format;
  float scale;
};

/** Kv head h of a token: among the call's own numbers, which are bf16 or not, or in the ring. */
static __device__ __forceinline__ Row token_at(const AttentionArgs &a, const void *ring,
                                               const void *own, bool bf16, size_t b, int position,
                                               int j, int h) {
  if (j >= position) {
    size_t at = (b * a.length + j - position) * a.kv_stride + h * a.head_dim;
    if (bf16) return {static_cast<const uint16_t *>(own) + at, true};
    return {static_cast<const float *>(own) + at, false};
  }
  size_t at = ((b * a.capacity + j % a.capacity) * a.kv_heads + h) * a.head_dim;
  if (a.bf16_ring) return {static_cast<const uint16_t *>(ring) + at, true};
  return {static_cast<const float *>(ring) + at, false};
}

/** Key and value number `from` of the call go to number `to` of the ring. */
static __device__ __forceinline__ void write_to_ring(const AttentionArgs &a, size_t to, size_t from) {
  int format = a.bf16_ring ? BF16 : F32;
  write_number(a.write_k, format, to, Row{a.k, a.bf16 != 0}[from]);
  write_number(a.write_v, format, to, Row{a.v, a.bf16 != 0}[from]);
}
