// Gradient of the RMS norm over groups of channels, with or without a gate silu(z).
//
// With t the input of the norm, n = t / rms(t), and g the gradient of n:
//   dt = (g - n mean(g n)) / rms(t)
#include "device.h"

struct NormGradArgs {
  const float *x, *z, *weight, *dy;
  /** parts: partial sums of the gradient of the weight, [row block][column]. */
  float *dx, *dz, *parts;
  int rows, columns, group, rows_per_block, norm_before_gate;
  float eps;
};

/** A block has one group of rows_per_block rows: grid (rows / rows_per_block, groups). */
KERNEL(rms_norm_grad, NormGradArgs, 512) {
  __shared__ float scratch[32];
  int column = blockIdx.y * a.group;
  bool gated = a.z != nullptr, gate_first = gated && !a.norm_before_gate;
  const float *weight = a.weight + column;
  float *part = a.parts + static_cast<size_t>(blockIdx.x) * a.columns + column;
  int first = blockIdx.x * a.rows_per_block, end = min(first + a.rows_per_block, a.rows);
  for (int row = first; row < end; row++) {
    size_t at = static_cast<size_t>(row) * a.columns + column;
    const float *x = a.x + at, *z = a.z + (gated ? at : 0), *dy = a.dy + at;
    float squares = 0, products = 0;
    for (int i = threadIdx.x; i < a.group; i += blockDim.x) {
      float gate = gated ? silu(z[i]) : 1.0f;
      float t = gate_first ? x[i] * gate : x[i];
      float g = dy[i] * weight[i];
      if (!gate_first) g *= gate;
      squares += t * t;
      products += g * t;
    }
    float inverse = rsqrtf(block_sum(squares, scratch) / a.group + a.eps);
    // mean(g n) / rms(t)^2, to be multiplied by t instead of n
    float back = block_sum(products, scratch) / a.group * inverse * inverse * inverse;
    for (int i = threadIdx.x; i < a.group; i += blockDim.x) {
      float gate = gated ? silu(z[i]) : 1.0f;
      float t = gate_first ? x[i] * gate : x[i];
      float n = t * inverse, d = gate_first ? dy[i] : dy[i] * gate;
      float dt = d * weight[i] * inverse - t * back;
      a.dx[at + i] = gate_first ? dt * gate : dt;
      if (gated) {
        float dgate = gate_first ? dt * x[i] : dy[i] * n * weight[i];
        a.dz[at + i] = dgate * silu_grad(z[i]);
      }
      float own = d * n;
      part[i] = row == first ? own : part[i] + own;  // only this thread writes the column
    }
  }
}
