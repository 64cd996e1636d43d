// What both forms of the scan are told, and how they read dt.
#pragma once
#include "device.h"

struct ScanArgs {
  const float *x, *B, *C, *dt, *A, *D, *dt_bias, *before;
  float *y, *after;
  int x_stride, b_stride, c_stride, dt_stride, y_stride;
  int length, heads, head_dim, state_size, groups, d_per_channel, softplus;
  float dt_min, dt_max;
};

/** dt as the recurrence uses it: bias, softplus, limits. */
static __device__ __forceinline__ float effective_dt(const ScanArgs &a, size_t token, int h) {
  float dt = a.dt[token * a.dt_stride + h];
  if (a.dt_bias != nullptr) dt += a.dt_bias[h];
  if (a.softplus) dt = softplus(dt);
  // Not fmin and fmax: they would lose a NaN.
  if (dt < a.dt_min) dt = a.dt_min;
  return dt > a.dt_max ? a.dt_max : dt;
}
