// activation(x), times a multiplier or not, on rows with strides.
#include "device.h"

struct ActivateArgs {
  const float *x, *multiplier;
  float *y;
  int x_stride, multiplier_stride, y_stride, rows, columns, activation;
};

/** A thread is a column of a row: grid (columns / threads, rows), rows beyond the grid in a loop. */
KERNEL(activate_rows, ActivateArgs, 256) {
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= a.columns) return;
  for (size_t row = blockIdx.y; row < static_cast<size_t>(a.rows); row += gridDim.y) {
    float y = activate(a.x[row * a.x_stride + column], a.activation);
    if (a.multiplier != nullptr) y *= a.multiplier[row * a.multiplier_stride + column];
    a.y[row * a.y_stride + column] = y;
  }
}
