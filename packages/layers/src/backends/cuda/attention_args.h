// What the attention kernels are told, and where they find a token.
#pragma once
#include "device.h"

struct AttentionArgs {
  const float *q, *k, *v;
  /** [row][slot][kv head][head_dim], f32 or bf16. */
  const void *ring_k, *ring_v;
  /** Tokens that each row saw before this call; null for none. */
  const int *positions;
  float *y;
  /** With several splits: [split][row][head][head_dim + 2], put together by attend_combine. */
  float *partial;
  /** Where the call's own keys and values go, if it is one token; null if not into the ring. */
  void *write_k, *write_v;
  int q_stride, kv_stride, y_stride, length, heads, kv_heads, head_dim, capacity, window, splits;
  /** Whether the ring, read and written, is bf16. */
  int bf16_ring;
  float scale;
};

/** Where kv head h of a token stands: among the call's own f32 numbers, or in the ring. */
struct Token {
  const void *numbers;
  bool bf16;
  __device__ __forceinline__ float operator[](int i) const {
    return bf16 ? from_bf16(static_cast<const uint16_t *>(numbers)[i])
                : static_cast<const float *>(numbers)[i];
  }
};

static __device__ __forceinline__ Token token_at(const AttentionArgs &a, const void *ring,
                                                 const float *own, size_t b, int position, int j,
                                                 int h) {
  if (j >= position) {
    return {own + (b * a.length + j - position) * a.kv_stride + h * a.head_dim, false};
  }
  size_t at = ((b * a.capacity + j % a.capacity) * a.kv_heads + h) * a.head_dim;
  if (a.bf16_ring) return {static_cast<const uint16_t *>(ring) + at, true};
  return {static_cast<const float *>(ring) + at, false};
}

/** Number `at` of the ring becomes v. */
static __device__ __forceinline__ void write_number(const AttentionArgs &a, void *ring, size_t at,
                                                    float v) {
  if (a.bf16_ring) static_cast<uint16_t *>(ring)[at] = to_bf16(v);
  else static_cast<float *>(ring)[at] = v;
}
