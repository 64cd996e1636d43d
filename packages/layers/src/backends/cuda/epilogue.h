// What follows a matrix product: y = activation(sum + bias) + residual.
#pragma once
#include "activations.h"

struct Epilogue {
  const float *bias, *residual;
  int activation;
};

static __device__ __forceinline__ float finish(const Epilogue &e, float sum, size_t at, int column) {
  if (e.bias != nullptr) sum += e.bias[column];
  sum = activate(sum, e.activation);
  return e.residual == nullptr ? sum : sum + e.residual[at];
}

/** A number of y; features from exact_from on are f32 in a place of their own. */
template <typename Args>
static __device__ __forceinline__ void put(const Args &a, size_t row, int feature, float v) {
  if (feature < a.exact_from) write_number(a.y, a.y_format, row * a.y_stride + feature, v);
  else a.exact[row * a.exact_stride + feature - a.exact_from] = v;
}
