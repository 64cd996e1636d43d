// Matmuls of many rows: f32 on the CUDA cores; bf16 and f16 on the tensor cores.
#include "mma_tiles.h"

struct MatMulArgs {
  const float *x, *w;
  float *y;
  const float *bias, *residual;
  /** Element strides: x[b][m][k], w[b][n][k], y[b][m][n]. */
  int x_batch, x_row, x_column, w_batch, w_row, w_column, y_batch, y_row;
  int rows, features, columns, activation;
};

#define TILE 64
#define TILE_DEPTH 16

/** y = activation(x w^T + bias) + residual. Grid (features / TILE, rows / TILE, batch). */
KERNEL(matmul_f32, MatMulArgs, 256) {
  __shared__ float xs[TILE_DEPTH][TILE + 4], ws[TILE_DEPTH][TILE + 4];
  const float *x = a.x + static_cast<size_t>(blockIdx.z) * a.x_batch;
  const float *w = a.w + static_cast<size_t>(blockIdx.z) * a.w_batch;
  int first_row = blockIdx.y * TILE, first_feature = blockIdx.x * TILE;
  int row = (threadIdx.x / 16) * 4, feature = (threadIdx.x % 16) * 4;
  float sums[4][4] = {};
  for (int k0 = 0; k0 < a.columns; k0 += TILE_DEPTH) {
    for (int i = threadIdx.x; i < TILE * TILE_DEPTH; i += 256) {
      // Neighbouring threads read along the contiguous axis, so that loads coalesce.
      int k = a.x_column == 1 ? i % TILE_DEPTH : i / TILE;
      int m = a.x_column == 1 ? i / TILE_DEPTH : i % TILE;
      bool in = k0 + k < a.columns && first_row + m < a.rows;
      xs[k][m] = in ? x[static_cast<size_t>(first_row + m) * a.x_row +
                        static_cast<size_t>(k0 + k) * a.x_column]
                    : 0.0f;
      k = a.w_column == 1 ? i % TILE_DEPTH : i / TILE;
      int n = a.w_column == 1 ? i / TILE_DEPTH : i % TILE;
      in = k0 + k < a.columns && first_feature + n < a.features;
      ws[k][n] = in ? w[static_cast<size_t>(first_feature + n) * a.w_row +
                        static_cast<size_t>(k0 + k) * a.w_column]
                    : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < TILE_DEPTH; k++) {
      float4 u = *reinterpret_cast<const float4 *>(&xs[k][row]);
      float4 v = *reinterpret_cast<const float4 *>(&ws[k][feature]);
      const float us[4] = {u.x, u.y, u.z, u.w}, vs[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sums[i][j] += us[i] * vs[j];
    }
    __syncthreads();
  }
  Epilogue epilogue = {a.bias, a.residual, a.activation};
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int m = first_row + row + i, n = first_feature + feature + j;
      if (m >= a.rows || n >= a.features) continue;
      size_t at = static_cast<size_t>(m) * a.features + n;
      a.y[static_cast<size_t>(blockIdx.z) * a.y_batch + static_cast<size_t>(m) * a.y_row + n] =
          apply_epilogue(epilogue, sums[i][j], at, n);
    }
  }
}

struct TensorCoreArgs {
  /** Rows of bf16 or f16, padded with zeros to a multiple of MMA_DEPTH. */
  const uint16_t *x, *w;
  /** f32, bf16 or f16; see store_output(). */
  void *y;
  const float *bias, *residual;
  /** With several splits: [split][row][feature], summed by sum_splits. */
  float *partial;
  float *f32_tail;
  int rows, features, x_pitch, w_pitch, y_stride, depth, splits, activation;
  int y_format, f32_tail_first, f32_tail_stride;
};

/** Row pitch of a tile in shared memory, in 16-bit values: 80 bytes avoid bank conflicts. */
#define MMA_PITCH (MMA_DEPTH + 8)

/** Stages one depth step of a tile in shared memory. Rows past the end are zeros. */
template <int ROWS, int THREADS>
static __device__ __forceinline__ void stage_tile(uint16_t *tile, const uint16_t *from, int first,
                                                  int rows, int pitch, int k) {
  for (int i = threadIdx.x; i < ROWS * (MMA_DEPTH / 8); i += THREADS) {
    int row = i / (MMA_DEPTH / 8), part = i % (MMA_DEPTH / 8);
    bool in = first + row < rows;
    const uint16_t *source = from + static_cast<size_t>(in ? first + row : 0) * pitch + k + part * 8;
    copy_async(tile + row * MMA_PITCH + part * 8, source, in);
  }
}

/**
 * A block of WM x WN warps computes a tile of (WM * MT * 16) rows by (WN * NT * 16) features. Depth
 * steps are prefetched MMA_STAGES - 1 ahead. Grid (features / tile, rows / tile, splits).
 */
template <bool F16, int WM, int WN, int MT, int NT>
static __device__ __forceinline__ void matmul_mma(const TensorCoreArgs &a) {
  constexpr int TM = WM * MT * 16, TN = WN * NT * 16, THREADS = WM * WN * 32;
  SHARED_MEMORY(uint16_t, tiles);
  uint16_t *xs = tiles, *ws = tiles + MMA_STAGES * TM * MMA_PITCH;
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int first_row = blockIdx.y * TM, first_feature = blockIdx.x * TN;
  int warp_row = (warp / WN) * MT * 16, warp_feature = (warp % WN) * NT * 16;
  Steps steps = split_steps(a);

  auto stage = [&](int step) {
    if (step < steps.count) {
      int slot = step % MMA_STAGES, k = (steps.first + step) * MMA_DEPTH;
      stage_tile<TM, THREADS>(xs + slot * TM * MMA_PITCH, a.x, first_row, a.rows, a.x_pitch, k);
      stage_tile<TN, THREADS>(ws + slot * TN * MMA_PITCH, a.w, first_feature, a.features, a.w_pitch,
                              k);
    }
    copy_commit();  // commits an empty group too, so that copy_wait() counts steps
  };

  float sums[MT][NT * 2][4] = {};
#pragma unroll
  for (int s = 0; s < MMA_STAGES - 1; s++) stage(s);
  for (int step = 0; step < steps.count; step++) {
    copy_wait<MMA_STAGES - 2>();
    __syncthreads();
    stage(step + MMA_STAGES - 1);
    const uint16_t *x = xs + (step % MMA_STAGES) * TM * MMA_PITCH;
    const uint16_t *w = ws + (step % MMA_STAGES) * TN * MMA_PITCH;
#pragma unroll
    for (int k = 0; k < MMA_DEPTH; k += 16) {
      uint32_t xr[MT][4], wr[NT][4];
#pragma unroll
      for (int i = 0; i < MT; i++) {
        load_matrix(xr[i], x + (warp_row + i * 16 + lane % 16) * MMA_PITCH + k + (lane / 16) * 8);
      }
#pragma unroll
      for (int j = 0; j < NT; j++) {
        load_matrix(wr[j], w + (warp_feature + j * 16 + lane % 16) * MMA_PITCH + k + (lane / 16) * 8);
      }
#pragma unroll
      for (int i = 0; i < MT; i++)
#pragma unroll
        for (int j = 0; j < NT; j++) {
          mma<F16>(sums[i][2 * j], xr[i], wr[j][0], wr[j][2]);
          mma<F16>(sums[i][2 * j + 1], xr[i], wr[j][1], wr[j][3]);
        }
    }
  }
  copy_wait<0>();
  store_sums<MT, NT>(a, sums, first_row + warp_row, first_feature + warp_feature);
}

KERNEL(matmul_bf16, TensorCoreArgs, 256) { matmul_mma<false, 2, 4, 4, 2>(a); }
KERNEL(matmul_f16, TensorCoreArgs, 256) { matmul_mma<true, 2, 4, 4, 2>(a); }
/** 64 x 64 tiles, for batched decode. */
KERNEL(matmul_bf16_small, TensorCoreArgs, 128) { matmul_mma<false, 2, 2, 2, 2>(a); }
KERNEL(matmul_f16_small, TensorCoreArgs, 128) { matmul_mma<true, 2, 2, 2, 2>(a); }

/** Sums the splits in a fixed order. Grid (features / 256, rows). */
KERNEL(sum_splits, TensorCoreArgs, 256) {
  int n = blockIdx.x * 256 + threadIdx.x;
  if (n >= a.features) return;
  Epilogue epilogue = {a.bias, a.residual, a.activation};
  for (size_t m = blockIdx.y; m < static_cast<size_t>(a.rows); m += gridDim.y) {
    size_t at = m * a.features + n;
    float sum = 0;
    for (int s = 0; s < a.splits; s++) {
      sum += a.partial[static_cast<size_t>(s) * a.rows * a.features + at];
    }
    store_output(a, m, n, apply_epilogue(epilogue, sum, at, n));
  }
}
