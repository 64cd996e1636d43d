// What tfjs's own ops need on the device: copies with strides, elementwise ops with broadcasting.
#include "device.h"

#define RANK 6

struct CopyArgs {
  const float *x;
  float *y;
  int size, x_offset, y_offset;
  int shape[RANK], x_strides[RANK], y_strides[RANK];
};

/** y[y_offset + i . y_strides] = x[x_offset + i . x_strides] for all i below shape. 32-bit elements. */
KERNEL(copy_strided, CopyArgs, 256) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < a.size; i += gridDim.x * blockDim.x) {
    int rest = i;
    size_t from = a.x_offset, to = a.y_offset;
#pragma unroll
    for (int axis = RANK - 1; axis >= 0; axis--) {
      int at = rest % a.shape[axis];
      rest /= a.shape[axis];
      from += static_cast<size_t>(at) * a.x_strides[axis];
      to += static_cast<size_t>(at) * a.y_strides[axis];
    }
    a.y[to] = a.x[from];
  }
}

enum BinaryOp { ADD = 0, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM };

struct BinaryArgs {
  const float *x, *w;
  float *y;
  int size, op;
  int shape[RANK], x_strides[RANK], w_strides[RANK];
};

static __device__ __forceinline__ float binary(int op, float x, float w) {
  switch (op) {
    case ADD: return x + w;
    case SUBTRACT: return x - w;
    case MULTIPLY: return x * w;
    case DIVIDE: return x / w;
    case MAXIMUM: return x != x || x > w ? x : w;
    default: return x != x || x < w ? x : w;
  }
}

/** y = op(x, w); a stride of 0 repeats along an axis. */
KERNEL(binary_broadcast, BinaryArgs, 256) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < a.size; i += gridDim.x * blockDim.x) {
    int rest = i;
    size_t x = 0, w = 0;
#pragma unroll
    for (int axis = RANK - 1; axis >= 0; axis--) {
      int at = rest % a.shape[axis];
      rest /= a.shape[axis];
      x += static_cast<size_t>(at) * a.x_strides[axis];
      w += static_cast<size_t>(at) * a.w_strides[axis];
    }
    a.y[i] = binary(a.op, a.x[x], a.w[w]);
  }
}

struct FillArgs {
  uint32_t *y;
  int size;
  uint32_t bits;
};

KERNEL(fill, FillArgs, 256) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < a.size; i += gridDim.x * blockDim.x) {
    a.y[i] = a.bits;
  }
}

struct AdvanceArgs {
  int *positions;
  int rows, by;
};

/** Moves the positions of a batch on: the end of a recorded decode step. */
KERNEL(advance_positions, AdvanceArgs, 256) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < a.rows) a.positions[i] += a.by;
}
