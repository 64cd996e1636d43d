// y = activation(x), or activation(x) * multiplier, on strided rows.
#include "activations.h"

struct ActivateArgs {
  const void *x, *multiplier;
  /** f32, or 16-bit values for the tensor cores. */
  void *y;
  int x_stride, multiplier_stride, y_stride, rows, columns, activation, out_format;
};

/**
 * One thread per column of a row: grid (columns / threads, rows), with a loop over rows beyond the
 * grid. y may be x if their types have the same size.
 */
template <typename T>
static __device__ __forceinline__ void activate_row(const ActivateArgs &a) {
  const T *x = static_cast<const T *>(a.x), *multiplier = static_cast<const T *>(a.multiplier);
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= a.columns) return;
  for (size_t row = blockIdx.y; row < static_cast<size_t>(a.rows); row += gridDim.y) {
    float y = activate(to_float(x[row * a.x_stride + column]), a.activation);
    if (multiplier != nullptr) y *= to_float(multiplier[row * a.multiplier_stride + column]);
    store_value(a.y, a.out_format, row * a.y_stride + column, y);
  }
}

KERNEL(activate_rows, ActivateArgs, 256) { activate_row<float>(a); }
KERNEL(activate_rows_bf16, ActivateArgs, 256) { activate_row<uint16_t>(a); }
