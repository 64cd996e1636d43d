// RMS norm over groups of channels, gated by silu(z) before it, after it, or not at all.
#include "device.h"

struct NormArgs {
  const float *x, *z, *weight;
  float *y;
  int x_stride, z_stride, y_stride, group, norm_before_gate;
  float eps;
};

/** A block is a row's group: grid (rows, groups). y may be x. */
KERNEL(norm_rows, NormArgs, 1024) {
  __shared__ float scratch[32];
  size_t row = blockIdx.x;
  int first = blockIdx.y * a.group;
  const float *x = a.x + row * a.x_stride + first;
  const float *z = a.z == nullptr ? nullptr : a.z + row * a.z_stride + first;
  const float *weight = a.weight + first;
  float *y = a.y + row * a.y_stride + first;
  bool gate_first = z != nullptr && !a.norm_before_gate;
  float sum = 0;
  for (int i = threadIdx.x; i < a.group; i += blockDim.x) {
    float t = gate_first ? x[i] * silu(z[i]) : x[i];
    sum += t * t;
  }
  float scale = rsqrtf(block_sum(sum, scratch) / a.group + a.eps);
  for (int i = threadIdx.x; i < a.group; i += blockDim.x) {
    float t = gate_first ? x[i] * silu(z[i]) : x[i];
    t *= scale * weight[i];
    y[i] = z != nullptr && !gate_first ? t * silu(z[i]) : t;
  }
}
