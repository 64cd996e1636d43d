// Cross-entropy loss of next-token prediction per row, and its gradient.
#include "device.h"

struct CrossEntropyArgs {
  const float *logits;
  const int *targets;
  const float *dy;
  float *out;
  int columns;
};

/** The largest logit of the block's row (x), and the sum of exp(logit - largest) (y). */
static __device__ __forceinline__ float2 softmax_parts(const float *row, int columns,
                                                       float *scratch) {
  float top = -INFINITY;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) top = fmaxf(top, row[i]);
  top = block_max(top, scratch);
  float sum = 0;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += expf(row[i] - top);
  float2 parts;
  parts.x = top;
  parts.y = block_sum(sum, scratch);
  return parts;
}

/** One block per row: grid (rows). */
KERNEL(cross_entropy, CrossEntropyArgs, 256) {
  __shared__ float scratch[32];
  size_t row = blockIdx.x;
  const float *logits = a.logits + row * a.columns;
  int target = a.targets[row];
  float2 parts = softmax_parts(logits, a.columns, scratch);
  if (threadIdx.x == 0) {
    bool counted = target >= 0 && target < a.columns;
    a.out[row] = counted ? logf(parts.y) + parts.x - logits[target] : 0.0f;
  }
}

KERNEL(cross_entropy_grad, CrossEntropyArgs, 256) {
  __shared__ float scratch[32];
  size_t row = blockIdx.x;
  const float *logits = a.logits + row * a.columns;
  float *out = a.out + row * a.columns;
  int target = a.targets[row];
  float2 parts = softmax_parts(logits, a.columns, scratch);
  float scale = target < 0 ? 0.0f : a.dy[row];
  for (int i = threadIdx.x; i < a.columns; i += blockDim.x) {
    float p = expf(logits[i] - parts.x) / parts.y;
    out[i] = scale * (p - (i == target ? 1.0f : 0.0f));
  }
}
