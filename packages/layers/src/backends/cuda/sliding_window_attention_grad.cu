// Gradient of attention without a KV cache, in f32: tiles of queries by keys, with the attention weights
// recomputed (FlashAttention, arXiv 2205.14135). With p the weights, dp[i][j] = dy[i] . v[j] and m[i] the
// mean of dp weighted by p:
//   ds = scale p (dp - m);  dv[j] = sum of p dy;  dk[j] = sum of ds q;  dq[i] = sum of ds k
// One kernel loops by queries, another by keys, so that each sum is computed by one thread in a fixed
// order.
#include "device.h"

#define ATTENTION_GRAD_THREADS 256

struct AttentionGradArgs {
  const float *q, *k, *v, *dy;
  /** [sequence][head][token][2]: log of the sum of exp(scores), and m. */
  float *stats;
  float *dq, *dk, *dv;
  int length, heads, kv_heads, head_dim, window;
  float scale;
};

/** Stages rows first ... first + T - 1 of a head in shared memory, padded with zeros. */
template <int D, int T>
static __device__ __forceinline__ void stage_head(float *to, const float *from, int first, int length,
                                                  size_t stride, int head_dim) {
  for (int i = threadIdx.x; i < T * D; i += ATTENTION_GRAD_THREADS) {
    int row = i / D, column = i % D;
    bool in = first + row < length && column < head_dim;
    to[row * (D + 1) + column] = in ? from[(first + row) * stride + column] : 0.0f;
  }
}

/** The dot products a . u and b . v of rows of D values. */
template <int D>
static __device__ __forceinline__ float2 two_dots(const float *a, const float *u, const float *b,
                                                  const float *v) {
  float2 sums = {0, 0};
#pragma unroll 8
  for (int d = 0; d < D; d++) {
    sums.x += a[d] * u[d];
    sums.y += b[d] * v[d];
  }
  return sums;
}

/** The sum, and the maximum, over the R lanes (a power of two) that share a row. */
template <int R>
static __device__ __forceinline__ float row_sum(float v) {
#pragma unroll
  for (int lane = R / 2; lane > 0; lane >>= 1) v += __shfl_xor_sync(ALL_LANES, v, lane);
  return v;
}
template <int R>
static __device__ __forceinline__ float row_max(float v) {
#pragma unroll
  for (int lane = R / 2; lane > 0; lane >>= 1) v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, lane));
  return v;
}

/** One block per T queries of a head. Grid (length / T, heads, batch). */
template <int D, int T>
static __device__ __forceinline__ void grad_by_queries(const AttentionGradArgs &a) {
  constexpr int R = ATTENTION_GRAD_THREADS / T, EACH = T / R, PITCH = D + 1;
  SHARED_MEMORY(float, qs);
  float *dys = qs + T * PITCH, *ks = dys + T * PITCH, *vs = ks + T * PITCH, *ds = vs + T * PITCH;
  int row = threadIdx.x / R, lane = threadIdx.x % R, h = blockIdx.y;
  int first_query = blockIdx.x * T, i = first_query + row;
  size_t b = blockIdx.z, stride = static_cast<size_t>(a.heads) * a.head_dim;
  size_t kv_stride = static_cast<size_t>(a.kv_heads) * a.head_dim;
  size_t head = b * a.length * stride + h * a.head_dim;
  size_t kv_head = b * a.length * kv_stride + h / (a.heads / a.kv_heads) * a.head_dim;
  stage_head<D, T>(qs, a.q + head, first_query, a.length, stride, a.head_dim);
  stage_head<D, T>(dys, a.dy + head, first_query, a.length, stride, a.head_dim);
  int first = first_query >= a.window ? first_query - a.window + 1 : 0;
  int last = min(first_query + T, a.length) - 1;

  float top = -INFINITY, total = 0, mean = 0;
  for (int j0 = first; j0 <= last; j0 += T) {
    __syncthreads();
    stage_head<D, T>(ks, a.k + kv_head, j0, a.length, kv_stride, a.head_dim);
    stage_head<D, T>(vs, a.v + kv_head, j0, a.length, kv_stride, a.head_dim);
    __syncthreads();
#pragma unroll
    for (int n = 0; n < EACH; n++) {
      int own = lane + n * R, j = j0 + own;
      if (j > i || i - j >= a.window || i >= a.length) continue;
      float2 dots = two_dots<D>(qs + row * PITCH, ks + own * PITCH, dys + row * PITCH, vs + own * PITCH);
      float score = dots.x * a.scale, new_top = fmaxf(top, score);
      float rescale = expf(top - new_top), p = expf(score - new_top);
      total = total * rescale + p;
      mean = mean * rescale + p * dots.y;
      top = new_top;
    }
  }
  float row_top = row_max<R>(top);
  float rescale = top == -INFINITY ? 0.0f : expf(top - row_top);
  total = row_sum<R>(total * rescale);
  mean = row_sum<R>(mean * rescale) / total;
  float log_total = row_top + logf(total);
  if (lane == 0 && i < a.length) {
    float *stats = a.stats + ((b * a.heads + h) * a.length + i) * 2;
    stats[0] = log_total;
    stats[1] = mean;
  }

  float sums[D / R] = {};
  for (int j0 = first; j0 <= last; j0 += T) {
    __syncthreads();
    stage_head<D, T>(ks, a.k + kv_head, j0, a.length, kv_stride, a.head_dim);
    stage_head<D, T>(vs, a.v + kv_head, j0, a.length, kv_stride, a.head_dim);
    __syncthreads();
#pragma unroll
    for (int n = 0; n < EACH; n++) {
      int own = lane + n * R, j = j0 + own;
      bool visible = j <= i && i - j < a.window && i < a.length;
      float d = 0;
      if (visible) {
        float2 dots =
            two_dots<D>(qs + row * PITCH, ks + own * PITCH, dys + row * PITCH, vs + own * PITCH);
        d = expf(dots.x * a.scale - log_total) * (dots.y - mean) * a.scale;
      }
      ds[row * (T + 1) + own] = d;
    }
    __syncthreads();
    for (int j = 0; j < T; j++) {
      float d = ds[row * (T + 1) + j];
#pragma unroll
      for (int n = 0; n < D / R; n++) sums[n] += d * ks[j * PITCH + lane + n * R];
    }
  }
  if (i >= a.length) return;
#pragma unroll
  for (int n = 0; n < D / R; n++) {
    int column = lane + n * R;
    if (column < a.head_dim) a.dq[head + i * stride + column] = sums[n];
  }
}

/** One block per T keys of a kv head, which several heads may share. Grid (length / T, kv heads, batch). */
template <int D, int T>
static __device__ __forceinline__ void grad_by_keys(const AttentionGradArgs &a) {
  constexpr int R = ATTENTION_GRAD_THREADS / T, EACH = T / R, PITCH = D + 1;
  SHARED_MEMORY(float, ks);
  float *vs = ks + T * PITCH, *qs = vs + T * PITCH, *dys = qs + T * PITCH;
  float *ps = dys + T * PITCH, *ds = ps + T * (T + 1);
  int row = threadIdx.x / R, lane = threadIdx.x % R, kv_h = blockIdx.y, group = a.heads / a.kv_heads;
  int first_key = blockIdx.x * T, j = first_key + row;
  size_t b = blockIdx.z, stride = static_cast<size_t>(a.heads) * a.head_dim;
  size_t kv_stride = static_cast<size_t>(a.kv_heads) * a.head_dim;
  size_t kv_head = b * a.length * kv_stride + kv_h * a.head_dim;
  stage_head<D, T>(ks, a.k + kv_head, first_key, a.length, kv_stride, a.head_dim);
  stage_head<D, T>(vs, a.v + kv_head, first_key, a.length, kv_stride, a.head_dim);
  // After the last query that sees the last key, or the end of the sequence.
  int left = a.length - first_key;
  int end = a.window < left - T ? first_key + T - 1 + a.window : a.length;

  float dk[D / R] = {}, dv[D / R] = {};
  for (int h = kv_h * group; h < (kv_h + 1) * group; h++) {
    size_t head = b * a.length * stride + h * a.head_dim;
    const float *stats = a.stats + (b * a.heads + h) * a.length * 2;
    for (int i0 = first_key; i0 < end; i0 += T) {
      __syncthreads();
      stage_head<D, T>(qs, a.q + head, i0, a.length, stride, a.head_dim);
      stage_head<D, T>(dys, a.dy + head, i0, a.length, stride, a.head_dim);
      __syncthreads();
#pragma unroll
      for (int n = 0; n < EACH; n++) {
        int own = lane + n * R, i = i0 + own;
        bool visible = j <= i && i - j < a.window && i < a.length;
        float p = 0, d = 0;
        if (visible) {
          float2 dots =
              two_dots<D>(ks + row * PITCH, qs + own * PITCH, vs + row * PITCH, dys + own * PITCH);
          p = expf(dots.x * a.scale - stats[2 * i]);
          d = p * (dots.y - stats[2 * i + 1]) * a.scale;
        }
        ps[row * (T + 1) + own] = p;
        ds[row * (T + 1) + own] = d;
      }
      __syncthreads();
      for (int i = 0; i < T; i++) {
        float p = ps[row * (T + 1) + i], d = ds[row * (T + 1) + i];
#pragma unroll
        for (int n = 0; n < D / R; n++) {
          dk[n] += d * qs[i * PITCH + lane + n * R];
          dv[n] += p * dys[i * PITCH + lane + n * R];
        }
      }
    }
  }
  if (j >= a.length) return;
#pragma unroll
  for (int n = 0; n < D / R; n++) {
    int column = lane + n * R;
    if (column >= a.head_dim) continue;
    a.dk[kv_head + j * kv_stride + column] = dk[n];
    a.dv[kv_head + j * kv_stride + column] = dv[n];
  }
}

KERNEL(attention_grad_queries_64, AttentionGradArgs, ATTENTION_GRAD_THREADS) { grad_by_queries<64, 32>(a); }
KERNEL(attention_grad_queries_128, AttentionGradArgs, ATTENTION_GRAD_THREADS) { grad_by_queries<128, 32>(a); }
KERNEL(attention_grad_queries_256, AttentionGradArgs, ATTENTION_GRAD_THREADS) { grad_by_queries<256, 16>(a); }
KERNEL(attention_grad_keys_64, AttentionGradArgs, ATTENTION_GRAD_THREADS) { grad_by_keys<64, 32>(a); }
KERNEL(attention_grad_keys_128, AttentionGradArgs, ATTENTION_GRAD_THREADS) { grad_by_keys<128, 32>(a); }
KERNEL(attention_grad_keys_256, AttentionGradArgs, ATTENTION_GRAD_THREADS) { grad_by_keys<256, 16>(a); }
