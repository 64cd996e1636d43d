// y = activation(x W^T + bias) + residual for few rows of x, as in decode. Bound by memory bandwidth.
//
// A warp streams RUN rows of W, 16 bytes per lane and row. x is staged in shared memory as f32. The norm
// before the projection and the convolution after Mamba-2's in_proj are fused.
#include "epilogue.h"
#include "weights.h"

enum Prologue { PLAIN = 0, RMS_NORM = 1, GATE_THEN_NORM = 2, NORM_THEN_GATE = 3 };

struct MatVecArgs {
  const float *x;
  const char *weight;
  const uint32_t *params;
  const float *bias, *residual;
  float *y;
  /** Prologue: the norm of x by groups, gated by silu(z). */
  const float *norm_weight, *z;
  /** Convolution of features conv_first ... conv_first + conv_channels - 1. */
  const float *conv_weight, *conv_bias, *window_before;
  float *window_after;
  int rows, features, columns, pitch, group, groups, f16_params, x_stride, y_stride, activation;
  int slices, prologue, norm_group, z_stride, conv_first, conv_channels, conv_width;
  float eps;
};

#define MATVEC_THREADS 256
#define MATVEC_WARPS (MATVEC_THREADS / 32)

/** Index of column c in shared memory, skewed so that float4 loads of a warp have no bank conflicts. */
template <int CHUNK>
static __device__ __forceinline__ int skewed(int c) {
  return CHUNK > 4 ? c + 4 * (c / CHUNK) : c;
}

/** Stages rows first ... first + ROWS - 1 of x in shared memory, with the norm applied. */
template <int CHUNK, int ROWS>
static __device__ __forceinline__ void stage_rows(const MatVecArgs &a, float *staged, int first,
                                                  int padded, int row_floats) {
  __shared__ float scratch[32];
  for (int m = 0; m < ROWS; m++) {
    float *to = staged + m * row_floats;
    bool live = first + m < a.rows;
    const float *x = a.x + static_cast<size_t>(live ? first + m : 0) * a.x_stride;
    const float *z = a.z + static_cast<size_t>(live ? first + m : 0) * a.z_stride;
    for (int c = threadIdx.x; c < padded; c += MATVEC_THREADS) {
      float v = live && c < a.columns ? x[c] : 0.0f;
      if (a.prologue == GATE_THEN_NORM && live && c < a.columns) v *= silu(z[c]);
      to[skewed<CHUNK>(c)] = v;
    }
    if (a.prologue == PLAIN || a.norm_weight == nullptr) continue;
    for (int g = 0; g < a.columns; g += a.norm_group) {
      // Each thread reads only what it wrote, so no barrier is needed before the sum.
      float sum = 0;
      for (int c = threadIdx.x; c < a.columns; c += MATVEC_THREADS) {
        float v = to[skewed<CHUNK>(c)];
        if (c >= g && c < g + a.norm_group) sum += v * v;
      }
      float scale = rsqrtf(block_sum(sum, scratch) / a.norm_group + a.eps);
      for (int c = threadIdx.x; c < a.columns; c += MATVEC_THREADS) {
        if (c < g || c >= g + a.norm_group) continue;
        float v = to[skewed<CHUNK>(c)] * scale * a.norm_weight[c];
        to[skewed<CHUNK>(c)] = a.prologue == NORM_THEN_GATE && live ? v * silu(z[c]) : v;
      }
    }
  }
  __syncthreads();
}

/** The convolution of one channel at one token. Shifts the window of the channel. */
static __device__ __forceinline__ float convolve_channel(const MatVecArgs &a, float x, int c,
                                                         size_t row) {
  float sum = a.conv_bias == nullptr ? 0.0f : a.conv_bias[c];
  size_t window = row * a.conv_width * a.conv_channels + c;
  const float *weight = a.conv_weight + static_cast<size_t>(c) * a.conv_width;
  for (int w = 0; w + 1 < a.conv_width; w++) {
    float v = a.window_before == nullptr
                  ? 0.0f
                  : a.window_before[window + static_cast<size_t>(w + 1) * a.conv_channels];
    sum += v * weight[w];
    if (a.window_after != nullptr) {
      a.window_after[window + static_cast<size_t>(w) * a.conv_channels] = v;
    }
  }
  if (a.window_after != nullptr) {
    a.window_after[window + static_cast<size_t>(a.conv_width - 1) * a.conv_channels] = x;
  }
  return silu(sum + x * weight[a.conv_width - 1]);
}

/**
 * Prefetches the block's rows of W. No kernel writes weights, so this overlaps with the previous kernel
 * and with the norm of x.
 */
static __device__ __forceinline__ void prefetch_rows(const MatVecArgs &a, int first, int count) {
  int last = min(first + count, a.features);
  const char *from = a.weight + static_cast<size_t>(first) * a.pitch;
  size_t bytes = last > first ? static_cast<size_t>(last - first) * a.pitch : 0;
  for (size_t at = threadIdx.x * 128; at < bytes; at += MATVEC_THREADS * 128) prefetch(from + at);
}

/**
 * A block computes (MATVEC_WARPS / slices) x RUN features of ROWS rows. `slices` warps share the
 * columns of a feature. Grid (features / features per block, rows / ROWS).
 */
template <int FORMAT, int RUN, int ROWS>
static __device__ __forceinline__ void matvec(const MatVecArgs &a) {
  constexpr int CHUNK = Chunk<FORMAT>::columns;
  SHARED_MEMORY(float, staged);
  __shared__ float partial[MATVEC_WARPS][RUN * ROWS];
  int padded = (a.columns + CHUNK - 1) / CHUNK * CHUNK;
  int row_floats = (skewed<CHUNK>(padded) + 3) / 4 * 4;
  int first_row = blockIdx.y * ROWS;
  int per_block = MATVEC_WARPS / a.slices * RUN;
  prefetch_rows(a, blockIdx.x * per_block, per_block);
  launch_dependents();
  wait_for_previous_kernels();
  stage_rows<CHUNK, ROWS>(a, staged, first_row, padded, row_floats);

  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int slice = warp % a.slices;
  int feature = (blockIdx.x * (MATVEC_WARPS / a.slices) + warp / a.slices) * RUN;
  float sums[RUN][ROWS];
#pragma unroll
  for (int r = 0; r < RUN; r++)
#pragma unroll
    for (int m = 0; m < ROWS; m++) sums[r][m] = 0;

  const char *rows[RUN];
#pragma unroll
  for (int r = 0; r < RUN; r++) {
    // Rows past the end read the last row; their sums are discarded.
    rows[r] = a.weight + static_cast<size_t>(min(feature + r, a.features - 1)) * a.pitch;
  }
  for (int c = (slice * 32 + lane) * CHUNK; c < a.columns; c += a.slices * 32 * CHUNK) {
    uint4 chunks[RUN];
    float2 affine[RUN];
#pragma unroll
    for (int r = 0; r < RUN; r++) {
      chunks[r] = __ldg(reinterpret_cast<const uint4 *>(rows[r] + (c / CHUNK) * 16));
      if (Chunk<FORMAT>::affine) {
        size_t row = static_cast<size_t>(min(feature + r, a.features - 1));
        affine[r] = parameters(__ldg(a.params + row * a.groups + c / a.group), a.f16_params);
        // q scale + offset = (1 + q / levels) (levels scale) + (offset - levels scale)
        affine[r].x *= Levels<FORMAT>::count;
        affine[r].y -= affine[r].x;
      }
    }
    float dots[RUN][ROWS], x_sums[ROWS];
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
      x_sums[m] = 0;
#pragma unroll
      for (int r = 0; r < RUN; r++) dots[r][m] = 0;
    }
#pragma unroll
    for (int s = 0; s < CHUNK / 4; s++) {
      float4 x[ROWS];
#pragma unroll
      for (int m = 0; m < ROWS; m++) {
        x[m] = *reinterpret_cast<const float4 *>(staged + m * row_floats + skewed<CHUNK>(c) + 4 * s);
        x_sums[m] += (x[m].x + x[m].y) + (x[m].z + x[m].w);
      }
#pragma unroll
      for (int r = 0; r < RUN; r++) {
        float4 w = unpack4<FORMAT>(chunks[r], s);
#pragma unroll
        for (int m = 0; m < ROWS; m++) {
          dots[r][m] += w.x * x[m].x + w.y * x[m].y + w.z * x[m].z + w.w * x[m].w;
        }
      }
    }
#pragma unroll
    for (int r = 0; r < RUN; r++)
#pragma unroll
      for (int m = 0; m < ROWS; m++) {
        sums[r][m] += Chunk<FORMAT>::affine ? affine[r].x * dots[r][m] + affine[r].y * x_sums[m]
                                            : dots[r][m];
      }
  }
#pragma unroll
  for (int r = 0; r < RUN; r++)
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
      float sum = warp_sum(sums[r][m]);
      if (lane == 0) partial[warp][r * ROWS + m] = sum;
    }
  __syncthreads();
  if (slice != 0 || lane >= RUN * ROWS) return;
  int r = lane / ROWS, m = lane % ROWS, row = first_row + m;
  feature += r;
  if (feature >= a.features || row >= a.rows) return;
  float sum = 0;
  for (int s = 0; s < a.slices; s++) sum += partial[warp + s][lane];
  size_t at = static_cast<size_t>(row) * a.y_stride + feature;
  int channel = feature - a.conv_first;
  if (a.conv_weight != nullptr && channel >= 0 && channel < a.conv_channels) {
    if (a.bias != nullptr) sum += a.bias[feature];
    a.y[at] = convolve_channel(a, sum, channel, row);
    return;
  }
  Epilogue epilogue = {a.bias, a.residual, a.activation};
  a.y[at] = apply_epilogue(epilogue, sum, static_cast<size_t>(row) * a.features + feature, feature);
}

#define MATVEC(name, format, run)                                                              \
  EAGER_KERNEL(matvec_##name##_1, MatVecArgs, MATVEC_THREADS) { matvec<format, run, 1>(a); }   \
  EAGER_KERNEL(matvec_##name##_2, MatVecArgs, MATVEC_THREADS) { matvec<format, run, 2>(a); }   \
  EAGER_KERNEL(matvec_##name##_4, MatVecArgs, MATVEC_THREADS) { matvec<format, run, 4>(a); }

MATVEC(f32, F32, 2)
MATVEC(bf16, BF16, 2)
MATVEC(f16, F16, 2)
MATVEC(int8, INT8, 4)
MATVEC(int4, INT4, 4)
