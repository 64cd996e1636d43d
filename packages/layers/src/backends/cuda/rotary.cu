// Rotary position embedding, in place, on the first 2 * half channels of each head of queries and keys.
#include "activations.h"

struct RotaryArgs {
  void *x;
  const float *frequencies;
  /** Number of tokens before the call, per sequence. Null: 0. */
  const int *positions;
  int x_stride, length, heads, head_dim, half;
};

/**
 * One block per token, one thread per pair of channels: grid (length, batch). Angles are computed in f64,
 * since they are large at late positions.
 */
template <typename T>
static __device__ __forceinline__ void rotate_token(const RotaryArgs &a) {
  int before = a.positions == nullptr ? 0 : a.positions[blockIdx.y];
  double position = before + static_cast<int>(blockIdx.x);
  size_t token = static_cast<size_t>(blockIdx.y) * a.length + blockIdx.x;
  T *x = static_cast<T *>(a.x) + token * a.x_stride;
  for (int i = threadIdx.x; i < a.half; i += blockDim.x) {
    double angle = position * a.frequencies[i];
    float cosine = static_cast<float>(cos(angle)), sine = static_cast<float>(sin(angle));
    for (int h = 0; h < a.heads; h++) {
      T *first = x + h * a.head_dim + i, *second = first + a.half;
      float p = to_float(*first), q = to_float(*second);
      assign(first, p * cosine - q * sine);
      assign(second, q * cosine + p * sine);
    }
  }
}

KERNEL(rotary, RotaryArgs, 128) { rotate_token<float>(a); }
KERNEL(rotary_bf16, RotaryArgs, 128) { rotate_token<uint16_t>(a); }
