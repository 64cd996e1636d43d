// The epilogue of a matmul: y = activation(sum + bias) + residual.
#pragma once
#include "activations.h"

struct Epilogue {
  const float *bias, *residual;
  int activation;
};

static __device__ __forceinline__ float apply_epilogue(const Epilogue &e, float sum, size_t at,
                                                       int column) {
  if (e.bias != nullptr) sum += e.bias[column];
  sum = activate(sum, e.activation);
  return e.residual == nullptr ? sum : sum + e.residual[at];
}

/** Stores a value of y. Features from f32_tail_first on go to the f32 matrix f32_tail instead. */
template <typename Args>
static __device__ __forceinline__ void store_output(const Args &a, size_t row, int feature, float v) {
  if (feature < a.f32_tail_first) store_value(a.y, a.y_format, row * a.y_stride + feature, v);
  else a.f32_tail[row * a.f32_tail_stride + feature - a.f32_tail_first] = v;
}
