// Attention of many tokens on the tensor cores: tiles of 64 queries by 64 keys with an online softmax
// (FlashAttention, arXiv 2205.14135). Operands are bf16; sums and the softmax are f32.
#include "attention_args.h"

#define TILE_TOKENS 64
#define TILE_THREADS 128

/** Stages keys or values first ... first + 63 as bf16 in shared memory, with zeros from `end` on. */
template <int D>
static __device__ __forceinline__ void stage_tokens(const AttentionArgs &a, uint16_t *to,
                                                    const void *cache, const void *call, size_t b,
                                                    int position, int first, int end, int h) {
  for (int i = threadIdx.x; i < TILE_TOKENS * (D / 8); i += TILE_THREADS) {
    int row = i / (D / 8), column = i % (D / 8) * 8;
    uint4 packed = {};
    if (first + row < end && column < a.head_dim) {
      packed = token_at(a, cache, call, a.bf16 != 0, b, position, first + row, h)
                   .load8_bf16(column, a.head_dim);
    }
    *reinterpret_cast<uint4 *>(to + row * (D + 8) + column) = packed;
  }
}

/** Grid (length / TILE_TOKENS, heads, batch). head_dim is at most D. */
template <int D>
static __device__ __forceinline__ void attend_tile(const AttentionArgs &a) {
  constexpr int PITCH = D + 8;
  SHARED_MEMORY(uint16_t, ks);
  uint16_t *vs = ks + TILE_TOKENS * PITCH;
  int lane = threadIdx.x & 31, row = (threadIdx.x >> 5) * 16;  // each warp computes 16 queries
  int h = blockIdx.y, kv_head = h / (a.heads / a.kv_heads);
  size_t b = blockIdx.z;
  int position = a.positions == nullptr ? 0 : a.positions[b];
  int start = blockIdx.x * TILE_TOKENS, count = min(TILE_TOKENS, a.length - start);

  // Queries are loaded into registers through the keys' shared memory.
  for (int i = threadIdx.x; i < TILE_TOKENS * (D / 8); i += TILE_THREADS) {
    int t = i / (D / 8), column = i % (D / 8) * 8;
    Row q = Row{a.q, a.bf16 != 0}.from((b * a.length + start + t) * a.q_stride + h * a.head_dim);
    *reinterpret_cast<uint4 *>(ks + t * PITCH + column) =
        q.load8_bf16(column, t < count ? a.head_dim : 0);
  }
  __syncthreads();
  uint32_t q[D / 16][4];
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    load_matrix(q[k / 16], ks + (row + lane % 16) * PITCH + k + (lane / 16) * 8);
  }

  float y[D / 8][4] = {}, top[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  int last = position + start + count - 1;
  int first = position + start >= a.window ? position + start - a.window + 1 : 0;
  for (int j0 = first; j0 <= last; j0 += TILE_TOKENS) {
    __syncthreads();  // all warps have read the previous tile
    stage_tokens<D>(a, ks, a.cache_k, a.k, b, position, j0, last + 1, kv_head);
    stage_tokens<D>(a, vs, a.cache_v, a.v, b, position, j0, last + 1, kv_head);
    __syncthreads();
    float scores[TILE_TOKENS / 8][4] = {};
#pragma unroll
    for (int k = 0; k < D; k += 16) {
#pragma unroll
      for (int j = 0; j < TILE_TOKENS; j += 16) {
        uint32_t r[4];
        load_matrix(r, ks + (j + lane % 16) * PITCH + k + (lane / 16) * 8);
        mma<false>(scores[j / 8], q[k / 16], r[0], r[2]);
        mma<false>(scores[j / 8 + 1], q[k / 16], r[1], r[3]);
      }
    }
    // Four lanes hold the scores of a query. A lane has two queries, 8 rows apart.
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int i = position + start + row + lane / 4 + 8 * half;
      float new_top = top[half];
#pragma unroll
      for (int n = 0; n < TILE_TOKENS / 8; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          int j = j0 + n * 8 + (lane % 4) * 2 + e;
          float &score = scores[n][2 * half + e];
          bool visible = j <= i && i - j < a.window;
          score = visible ? score * a.scale : -INFINITY;
          new_top = fmaxf(new_top, score);
        }
      new_top = fmaxf(new_top, __shfl_xor_sync(ALL_LANES, new_top, 1));
      new_top = fmaxf(new_top, __shfl_xor_sync(ALL_LANES, new_top, 2));
      // A query without a visible key so far keeps its zeros.
      float rescale = new_top == -INFINITY ? 1.0f : expf(top[half] - new_top);
      float sum = 0;
#pragma unroll
      for (int n = 0; n < TILE_TOKENS / 8; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          float &score = scores[n][2 * half + e];
          score = new_top == -INFINITY ? 0.0f : expf(score - new_top);
          sum += score;
        }
      sum += __shfl_xor_sync(ALL_LANES, sum, 1);
      sum += __shfl_xor_sync(ALL_LANES, sum, 2);
      total[half] = total[half] * rescale + sum;
      top[half] = new_top;
#pragma unroll
      for (int n = 0; n < D / 8; n++) {
        y[n][2 * half] *= rescale;
        y[n][2 * half + 1] *= rescale;
      }
    }
#pragma unroll
    for (int j = 0; j < TILE_TOKENS; j += 16) {
      const float(*p)[4] = scores + j / 8;
      uint32_t w[4] = {to_bf16_pair(p[0][0], p[0][1]), to_bf16_pair(p[0][2], p[0][3]),
                       to_bf16_pair(p[1][0], p[1][1]), to_bf16_pair(p[1][2], p[1][3])};
#pragma unroll
      for (int n = 0; n < D; n += 16) {
        uint32_t r[4];
        load_transposed(r, vs + (j + lane % 16) * PITCH + n + (lane / 16) * 8);
        mma<false>(y[n / 8], w, r[0], r[1]);
        mma<false>(y[n / 8 + 1], w, r[2], r[3]);
      }
    }
  }
#pragma unroll
  for (int n = 0; n < D / 8; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      int t = row + lane / 4 + 8 * (e / 2), column = n * 8 + (lane % 4) * 2 + e % 2;
      if (t >= count || column >= a.head_dim) continue;
      size_t at = (b * a.length + start + t) * a.y_stride + h * a.head_dim + column;
      store_value(a.y, a.y_format, at, y[n][e] / total[e / 2]);
    }
}

KERNEL(attend_tile_64, AttentionArgs, TILE_THREADS) { attend_tile<64>(a); }
KERNEL(attend_tile_128, AttentionArgs, TILE_THREADS) { attend_tile<128>(a); }
