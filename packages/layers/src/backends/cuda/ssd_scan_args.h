// What both forms of the scan are told, and how they read dt.
#pragma once
#include "activations.h"

struct ScanArgs {
  /** f32 or bf16, and y like them. dt is f32: it is summed over tokens, then exponentiated. */
  const void *x, *B, *C;
  const float *dt, *A, *D, *dt_bias, *before;
  void *y;
  float *after;
  int x_stride, b_stride, c_stride, dt_stride, y_stride;
  int length, heads, head_dim, state_size, groups, d_per_channel, softplus;
  float dt_min, dt_max;
};

/** softplus and limits of dt, its bias added already. */
static __device__ __forceinline__ float limit_dt(float dt, int is_softplus, float least, float most) {
  if (is_softplus) dt = softplus(dt);
  // Not fmin and fmax: they would lose a NaN.
  if (dt < least) dt = least;
  return dt > most ? most : dt;
}

/** dt as the recurrence uses it: bias, softplus, limits. */
static __device__ __forceinline__ float effective_dt(const ScanArgs &a, size_t token, int h) {
  float dt = a.dt[token * a.dt_stride + h];
  if (a.dt_bias != nullptr) dt += a.dt_bias[h];
  return limit_dt(dt, a.softplus, a.dt_min, a.dt_max);
}
