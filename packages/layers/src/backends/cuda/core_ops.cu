// Kernels of tfjs's own ops: strided copies, elementwise ops with broadcasting, sums, gather, fill.
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

/** y = op(x, w). A stride of 0 broadcasts along an axis. */
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

enum UnaryOp {
  NEGATE = 0, EXP, LOG, SQRT, RSQRT, SQUARE, ABSOLUTE, SIGMOID, TANH, RELU, RECIPROCAL, SOFTPLUS,
  ERF, LOG1P, EXPM1
};

struct UnaryArgs {
  const float *x;
  float *y;
  int size, op;
};

static __device__ __forceinline__ float unary(int op, float x) {
  switch (op) {
    case NEGATE: return -x;
    case EXP: return expf(x);
    case LOG: return logf(x);
    case SQRT: return sqrtf(x);
    case RSQRT: return 1.0f / sqrtf(x);
    case SQUARE: return x * x;
    case ABSOLUTE: return fabsf(x);
    case SIGMOID: return 1.0f / (1.0f + expf(-x));
    case TANH: return tanhf(x);
    case RELU: return x != x || x > 0.0f ? x : 0.0f;
    case RECIPROCAL: return 1.0f / x;
    case SOFTPLUS: return softplus(x);
    case ERF: return erff(x);
    case LOG1P: return log1pf(x);
    default: return expm1f(x);
  }
}

KERNEL(unary_elements, UnaryArgs, 256) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < a.size; i += gridDim.x * blockDim.x) {
    a.y[i] = unary(a.op, a.x[i]);
  }
}

struct SumArgs {
  const float *x;
  float *y;
  int outer, axis, inner;
};

/** y[o][i] = sum over the axis of x[o][axis][i], for inner = 1. One block per o: grid (outer). */
KERNEL(sum_rows, SumArgs, 256) {
  __shared__ float scratch[32];
  const float *x = a.x + static_cast<size_t>(blockIdx.x) * a.axis;
  float sum = 0;
  for (int i = threadIdx.x; i < a.axis; i += blockDim.x) sum += x[i];
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) a.y[blockIdx.x] = sum;
}

/** The same sum for any inner. One thread per (o, i). */
KERNEL(sum_columns, SumArgs, 256) {
  size_t count = static_cast<size_t>(a.outer) * a.inner;
  for (size_t at = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; at < count;
       at += static_cast<size_t>(gridDim.x) * blockDim.x) {
    size_t o = at / a.inner, i = at % a.inner;
    float sum = 0;
    for (int n = 0; n < a.axis; n++) sum += a.x[(o * a.axis + n) * a.inner + i];
    a.y[at] = sum;
  }
}

struct GatherArgs {
  const uint32_t *x;
  const int *ids;
  uint32_t *y;
  int size, rows, count, inner;
  /** Value for ids out of range. */
  uint32_t missing;
};

/** y[o][i] = x[o][ids[i]] for x[outer][rows][inner] with 32-bit elements. */
KERNEL(gather, GatherArgs, 256) {
  for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < a.size; at += gridDim.x * blockDim.x) {
    int column = at % a.inner, i = at / a.inner % a.count;
    size_t o = at / a.inner / a.count;
    int id = a.ids[i];
    bool known = id >= 0 && id < a.rows;
    a.y[at] = known ? a.x[(o * a.rows + id) * a.inner + column] : a.missing;
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

/** Advances the positions of a batch, at the end of a recorded decode step without sampling. */
KERNEL(advance_positions, AdvanceArgs, 256) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < a.rows) a.positions[i] += a.by;
}
