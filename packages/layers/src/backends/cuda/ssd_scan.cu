// The state-space-dual scan as a recurrence over tokens, in f32. A warp has one row of a head's state.
#include "ssd_scan_args.h"

/** Rows of a head's state per block, one per warp. */
#define SCAN_WARPS 8

/** Grid (head_dim / SCAN_WARPS, heads, batch). Each lane has V values of the row. */
template <int V, typename T>
static __device__ __forceinline__ void scan_rows(const ScanArgs &a) {
  int lane = threadIdx.x & 31;
  int p = blockIdx.x * SCAN_WARPS + (threadIdx.x >> 5);
  int h = blockIdx.y;
  size_t b = blockIdx.z;
  if (p >= a.head_dim) return;
  int group = h / (a.heads / a.groups);
  size_t row = ((b * a.heads + h) * a.head_dim + p) * a.state_size;
  float state[V];
#pragma unroll
  for (int i = 0; i < V; i++) {
    int n = i * 32 + lane;
    state[i] = a.before != nullptr && n < a.state_size ? a.before[row + n] : 0.0f;
  }
  float A = a.A[h];
  float D = a.D == nullptr ? 0.0f : a.D[a.d_per_channel ? h * a.head_dim + p : h];
  for (int t = 0; t < a.length; t++) {
    size_t token = b * a.length + t;
    float dt = effective_dt(a, token, h);
    float decay = expf(dt * A);
    float x = to_float(static_cast<const T *>(a.x)[token * a.x_stride + h * a.head_dim + p]);
    float dtx = dt * x, sum = 0;
    const T *B = static_cast<const T *>(a.B) + token * a.b_stride + group * a.state_size;
    const T *C = static_cast<const T *>(a.C) + token * a.c_stride + group * a.state_size;
#pragma unroll
    for (int i = 0; i < V; i++) {
      int n = i * 32 + lane;
      if (n < a.state_size) {
        state[i] = state[i] * decay + dtx * to_float(B[n]);
        sum += state[i] * to_float(C[n]);
      }
    }
    sum = warp_sum(sum);
    if (lane == 0) {
      assign(static_cast<T *>(a.y) + token * a.y_stride + h * a.head_dim + p, sum + D * x);
    }
  }
  if (a.after == nullptr) return;
#pragma unroll
  for (int i = 0; i < V; i++) {
    int n = i * 32 + lane;
    if (n < a.state_size) a.after[row + n] = state[i];
  }
}

#define SCAN(columns)                                                                          \
  KERNEL(ssd_scan_##columns, ScanArgs, SCAN_WARPS * 32) { scan_rows<columns / 32, float>(a); } \
  KERNEL(ssd_scan_##columns##_bf16, ScanArgs, SCAN_WARPS * 32) {                               \
    scan_rows<columns / 32, uint16_t>(a);                                                      \
  }

SCAN(32)
SCAN(64)
SCAN(128)
SCAN(256)
SCAN(512)
