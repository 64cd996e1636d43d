// RMS norm over groups of channels, optionally gated by silu(z) before or after the norm.
#include "activations.h"

struct NormArgs {
  const void *x, *z;
  const float *weight;
  /** f32, or 16-bit values for the tensor cores. */
  void *y;
  int x_stride, z_stride, y_stride, group, norm_before_gate, out_format;
  float eps;
};

/**
 * One block per row and group: grid (rows, groups). y may be x if their types have the same size.
 * Without a weight only the gate is applied.
 */
template <typename T>
static __device__ __forceinline__ void norm_row(const NormArgs &a) {
  __shared__ float scratch[32];
  size_t row = blockIdx.x;
  int first = blockIdx.y * a.group;
  const T *x = static_cast<const T *>(a.x) + row * a.x_stride + first;
  const T *z = a.z == nullptr ? nullptr : static_cast<const T *>(a.z) + row * a.z_stride + first;
  size_t to = row * a.y_stride + first;
  bool gate_first = z != nullptr && !a.norm_before_gate;
  float sum = 0;
  for (int i = threadIdx.x; i < a.group; i += blockDim.x) {
    float t = to_float(x[i]);
    if (gate_first) t *= silu(to_float(z[i]));
    sum += t * t;
  }
  float scale = a.weight == nullptr ? 1.0f : rsqrtf(block_sum(sum, scratch) / a.group + a.eps);
  for (int i = threadIdx.x; i < a.group; i += blockDim.x) {
    float t = to_float(x[i]);
    if (gate_first) t *= silu(to_float(z[i]));
    if (a.weight != nullptr) t *= scale * a.weight[first + i];
    if (z != nullptr && !gate_first) t *= silu(to_float(z[i]));
    store_value(a.y, a.out_format, to + i, t);
  }
}

KERNEL(norm_rows, NormArgs, 1024) { norm_row<float>(a); }
KERNEL(norm_rows_bf16, NormArgs, 1024) { norm_row<uint16_t>(a); }
