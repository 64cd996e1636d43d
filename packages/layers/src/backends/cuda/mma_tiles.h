// Shared by the tensor-core matmuls: split-K steps and the store of accumulators.
#pragma once
#include "epilogue.h"

#define MMA_DEPTH 32
#define MMA_STAGES 4

struct Steps {
  int first, count;
};

/** The depth steps of this block's split. */
template <typename Args>
static __device__ __forceinline__ Steps split_steps(const Args &a) {
  int all = a.depth / MMA_DEPTH, per_split = (all + a.splits - 1) / a.splits;
  int first = blockIdx.z * per_split;
  return {first, min(per_split, all - first)};
}

/**
 * Stores a warp's MT x NT tiles of 16 rows by 16 features, from (row, feature) on: as outputs, or as
 * partial sums if there are several splits. Element e of a lane is row lane / 4 + 8 (e / 2), column
 * 2 (lane % 4) + e % 2.
 */
template <int MT, int NT, typename Args>
static __device__ __forceinline__ void store_sums(const Args &a, const float (&sums)[MT][NT * 2][4],
                                                  int row, int feature) {
  int lane = threadIdx.x & 31;
  Epilogue epilogue = {a.bias, a.residual, a.activation};
  // Two bf16 values in the same word are stored at once.
  bool pairs = a.y_format == BF16 && a.y_stride % 2 == 0 && (reinterpret_cast<size_t>(a.y) & 3) == 0;
#pragma unroll
  for (int i = 0; i < MT; i++)
#pragma unroll
    for (int j = 0; j < NT * 2; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int m = row + i * 16 + lane / 4 + half * 8, n = feature + j * 8 + (lane % 4) * 2;
        if (m >= a.rows) continue;
        float v[2];
#pragma unroll
        for (int e = 0; e < 2; e++) {
          v[e] = sums[i][j][2 * half + e];
          if (n + e >= a.features) continue;
          size_t at = static_cast<size_t>(m) * a.features + n + e;
          if (a.splits > 1) {
            a.partial[static_cast<size_t>(blockIdx.z) * a.rows * a.features + at] = v[e];
          } else {
            v[e] = apply_epilogue(epilogue, v[e], at, n + e);
          }
        }
        if (a.splits > 1) continue;
        if (pairs && n + 1 < min(a.features, a.f32_tail_first)) {
          size_t at = static_cast<size_t>(m) * a.y_stride + n;
          *reinterpret_cast<uint32_t *>(static_cast<uint16_t *>(a.y) + at) = to_bf16_pair(v[0], v[1]);
        } else {
          if (n < a.features) store_output(a, m, n, v[0]);
          if (n + 1 < a.features) store_output(a, m, n + 1, v[1]);
        }
      }
}
