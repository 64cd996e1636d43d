// RMS norm over groups of channels, gated by silu(z) before it, after it, or not at all.
#include "weights.h"

struct NormArgs {
  const float *x, *z, *weight;
  /** f32, or 16-bit numbers for the tensor cores. */
  void *y;
  int x_stride, z_stride, y_stride, group, norm_before_gate, out_format;
  float eps;
};

/**
 * A block is a row's group: grid (rows, groups). y may be x if it is f32. Without a weight the gate
 * alone.
 */
KERNEL(norm_rows, NormArgs, 1024) {
  __shared__ float scratch[32];
  size_t row = blockIdx.x;
  int first = blockIdx.y * a.group;
  const float *x = a.x + row * a.x_stride + first;
  const float *z = a.z == nullptr ? nullptr : a.z + row * a.z_stride + first;
  size_t to = row * a.y_stride + first;
  bool gate_first = z != nullptr && !a.norm_before_gate;
  float sum = 0;
  for (int i = threadIdx.x; i < a.group; i += blockDim.x) {
    float t = gate_first ? x[i] * silu(z[i]) : x[i];
    sum += t * t;
  }
  float scale = a.weight == nullptr ? 1.0f : rsqrtf(block_sum(sum, scratch) / a.group + a.eps);
  for (int i = threadIdx.x; i < a.group; i += blockDim.x) {
    float t = gate_first ? x[i] * silu(z[i]) : x[i];
    if (a.weight != nullptr) t *= scale * a.weight[first + i];
    if (z != nullptr && !gate_first) t *= silu(z[i]);
    if (a.out_format == F32) static_cast<float *>(a.y)[to + i] = t;
    else static_cast<uint16_t *>(a.y)[to + i] = a.out_format == F16 ? to_f16(t) : to_bf16(t);
  }
}
