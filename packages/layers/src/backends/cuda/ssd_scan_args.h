// Arguments of the recurrent and the chunked scan, and the preprocessing of dt.
#pragma once
#include "activations.h"

struct ScanArgs {
  /** f32 or bf16, and y has the same type. dt is f32: it is summed over tokens, then exponentiated. */
  const void *x, *B, *C;
  const float *dt, *A, *D, *dt_bias, *before;
  void *y;
  float *after;
  int x_stride, b_stride, c_stride, dt_stride, y_stride;
  int length, heads, head_dim, state_size, groups, d_per_channel, softplus;
  float dt_min, dt_max;
};

/** Applies softplus and the limits to dt, which includes its bias. */
static __device__ __forceinline__ float limit_dt(float dt, int is_softplus, float min_dt,
                                                 float max_dt) {
  if (is_softplus) dt = softplus(dt);
  // fminf and fmaxf would drop a NaN.
  if (dt < min_dt) dt = min_dt;
  return dt > max_dt ? max_dt : dt;
}

/** dt with bias, softplus and limits applied. */
static __device__ __forceinline__ float effective_dt(const ScanArgs &a, size_t token, int h) {
  float dt = a.dt[token * a.dt_stride + h];
  if (a.dt_bias != nullptr) dt += a.dt_bias[h];
  return limit_dt(dt, a.softplus, a.dt_min, a.dt_max);
}
