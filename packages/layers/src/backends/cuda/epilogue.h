// What follows a matrix product: y = activation(sum + bias) + residual.
#pragma once
#include "device.h"

struct Epilogue {
  const float *bias, *residual;
  int activation;
};

static __device__ __forceinline__ float finish(const Epilogue &e, float sum, size_t at, int column) {
  if (e.bias != nullptr) sum += e.bias[column];
  sum = activate(sum, e.activation);
  return e.residual == nullptr ? sum : sum + e.residual[at];
}
