// Matmuls of many rows with int8 and int4 weights on the tensor cores. Quantized values are staged in
// shared memory and dequantized to bf16 in registers.
//
// The order of the depth within a step of 32 is free if x and w use the same one. Lane q of the four
// lanes of a row takes columns 8 q ... 8 q + 7, which are contiguous in x and in w.
#include "mma_tiles.h"
#include "weights.h"

struct QuantizedMatMulArgs {
  /** Rows of bf16, padded with zeros to a multiple of MMA_DEPTH. */
  const uint16_t *x;
  const char *quantized;
  const uint32_t *params;
  /** f32 or bf16; see store_output(). */
  void *y;
  const float *bias, *residual;
  /** With several splits: [split][row][feature], summed by sum_splits. */
  float *partial;
  float *f32_tail;
  /** pitch: row pitch of the quantized weight in bytes. */
  int rows, features, x_pitch, pitch, group, groups, f16_params, y_stride, depth, splits, activation;
  int y_format, f32_tail_first, f32_tail_stride;
};

/** Stages rows of BYTES in shared memory, 16 bytes per thread. Rows past the end are zeros. */
template <int ROWS, int BYTES, int THREADS>
static __device__ __forceinline__ void stage_rows(char *to, const char *from, int first, int rows,
                                                  size_t pitch) {
  for (int i = threadIdx.x; i < ROWS * (BYTES / 16); i += THREADS) {
    int row = i / (BYTES / 16), part = i % (BYTES / 16) * 16;
    bool in = first + row < rows;
    copy_async(to + row * BYTES + part, from + (in ? first + row : 0) * pitch + part, in);
  }
}

/** Dequantizes a lane's eight values of a feature to bf16 pairs: q * scale + offset. */
template <int FORMAT>
static __device__ __forceinline__ void dequantize8(uint32_t (&pairs)[4], const char *quantized,
                                                   float2 p) {
  // unpack4 returns 1 + q / levels, which takes fewer instructions than q.
  float scale = p.x * Levels<FORMAT>::count, offset = p.y - scale;
  uint4 chunk = {};
  if (FORMAT == INT8) {
    uint2 words = *reinterpret_cast<const uint2 *>(quantized);
    chunk.x = words.x;
    chunk.y = words.y;
  } else {
    chunk.x = *reinterpret_cast<const uint32_t *>(quantized);
  }
#pragma unroll
  for (int s = 0; s < 2; s++) {
    float4 v = unpack4<FORMAT>(chunk, s);
    pairs[2 * s] = to_bf16_pair(v.x * scale + offset, v.y * scale + offset);
    pairs[2 * s + 1] = to_bf16_pair(v.z * scale + offset, v.w * scale + offset);
  }
}

/** Tiles, stages and splits as in matmul_mma of packed_matmul.cu. */
template <int FORMAT, int WM, int WN, int MT, int NT>
static __device__ __forceinline__ void matmul_quantized(const QuantizedMatMulArgs &a) {
  constexpr int TM = WM * MT * 16, TN = WN * NT * 16, THREADS = WM * WN * 32;
  constexpr int X_BYTES = MMA_DEPTH * 2, W_BYTES = FORMAT == INT8 ? MMA_DEPTH : MMA_DEPTH / 2;
  SHARED_MEMORY(char, xs);
  char *ws = xs + MMA_STAGES * TM * X_BYTES;
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int first_row = blockIdx.y * TM, first_feature = blockIdx.x * TN;
  int warp_row = (warp / WN) * MT * 16, warp_feature = (warp % WN) * NT * 16;
  Steps steps = split_steps(a);

  auto stage = [&](int step) {
    if (step < steps.count) {
      int slot = step % MMA_STAGES;
      size_t k = steps.first + step;
      stage_rows<TM, X_BYTES, THREADS>(xs + slot * TM * X_BYTES,
                                       reinterpret_cast<const char *>(a.x) + k * X_BYTES, first_row,
                                       a.rows, static_cast<size_t>(a.x_pitch) * 2);
      stage_rows<TN, W_BYTES, THREADS>(ws + slot * TN * W_BYTES, a.quantized + k * W_BYTES,
                                       first_feature, a.features, a.pitch);
    }
    copy_commit();  // commits an empty group too, so that copy_wait() counts steps
  };
  // A depth step lies within one group. Its parameters are loaded one step ahead.
  uint32_t words[NT * 2];
  auto prefetch_params = [&](int step) {
    int g = (steps.first + min(step, steps.count - 1)) * MMA_DEPTH / a.group;
#pragma unroll
    for (int j = 0; j < NT * 2; j++) {
      int n = min(first_feature + warp_feature + j * 8 + lane / 4, a.features - 1);
      words[j] = a.params[static_cast<size_t>(n) * a.groups + g];
    }
  };

  float sums[MT][NT * 2][4] = {};
#pragma unroll
  for (int s = 0; s < MMA_STAGES - 1; s++) stage(s);
  prefetch_params(0);
  for (int step = 0; step < steps.count; step++) {
    copy_wait<MMA_STAGES - 2>();
    __syncthreads();
    stage(step + MMA_STAGES - 1);
    float2 params[NT * 2];
#pragma unroll
    for (int j = 0; j < NT * 2; j++) params[j] = parameters(words[j], a.f16_params);
    prefetch_params(step + 1);
    const char *x = xs + (step % MMA_STAGES) * TM * X_BYTES;
    const char *w = ws + (step % MMA_STAGES) * TN * W_BYTES;
    uint4 upper[MT], lower[MT];  // a lane's values of rows lane / 4 and lane / 4 + 8
#pragma unroll
    for (int i = 0; i < MT; i++) {
      const char *at = x + (warp_row + i * 16 + lane / 4) * X_BYTES + (lane % 4) * 16;
      upper[i] = *reinterpret_cast<const uint4 *>(at);
      lower[i] = *reinterpret_cast<const uint4 *>(at + 8 * X_BYTES);
    }
#pragma unroll
    for (int j = 0; j < NT * 2; j++) {
      int row = warp_feature + j * 8 + lane / 4;
      uint32_t pairs[4];
      dequantize8<FORMAT>(pairs, w + row * W_BYTES + (lane % 4) * (W_BYTES / 4), params[j]);
#pragma unroll
      for (int i = 0; i < MT; i++) {
        const uint32_t first[4] = {upper[i].x, lower[i].x, upper[i].y, lower[i].y};
        const uint32_t second[4] = {upper[i].z, lower[i].z, upper[i].w, lower[i].w};
        mma<false>(sums[i][j], first, pairs[0], pairs[1]);
        mma<false>(sums[i][j], second, pairs[2], pairs[3]);
      }
    }
  }
  copy_wait<0>();
  store_sums<MT, NT>(a, sums, first_row + warp_row, first_feature + warp_feature);
}

KERNEL(matmul_int8, QuantizedMatMulArgs, 256) { matmul_quantized<INT8, 2, 4, 4, 2>(a); }
KERNEL(matmul_int4, QuantizedMatMulArgs, 256) { matmul_quantized<INT4, 2, 4, 4, 2>(a); }
KERNEL(matmul_int8_small, QuantizedMatMulArgs, 128) { matmul_quantized<INT8, 2, 2, 2, 2>(a); }
KERNEL(matmul_int4_small, QuantizedMatMulArgs, 128) { matmul_quantized<INT4, 2, 2, 2, 2>(a); }
