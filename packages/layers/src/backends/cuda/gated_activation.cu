// activation(x), times a multiplier or not, on rows with strides.
#include "activations.h"

struct ActivateArgs {
  const void *x, *multiplier;
  /** f32, or 16-bit numbers for the tensor cores. */
  void *y;
  int x_stride, multiplier_stride, y_stride, rows, columns, activation, out_format;
};

/**
 * A thread is a column of a row: grid (columns / threads, rows), rows beyond the grid in a loop. y may
 * be x where its numbers are as wide.
 */
template <typename T>
static __device__ __forceinline__ void activate_row(const ActivateArgs &a) {
  const T *x = static_cast<const T *>(a.x), *multiplier = static_cast<const T *>(a.multiplier);
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= a.columns) return;
  for (size_t row = blockIdx.y; row < static_cast<size_t>(a.rows); row += gridDim.y) {
    float y = activate(to_float(x[row * a.x_stride + column]), a.activation);
    if (multiplier != nullptr) y *= to_float(multiplier[row * a.multiplier_stride + column]);
    write_number(a.y, a.out_format, row * a.y_stride + column, y);
  }
}

KERNEL(activate_rows, ActivateArgs, 256) { activate_row<float>(a); }
KERNEL(activate_rows_bf16, ActivateArgs, 256) { activate_row<uint16_t>(a); }
