// Causal sliding-window attention to the tokens of the KV cache and of the call, in f32.
#include "attention_args.h"

#define ATTEND_WARPS 4

/**
 * One block per query, head and split of the visible keys. Each warp takes 32 keys at a time, one per
 * lane; then the warps' sums are combined. Grid (length x splits, heads, batch).
 */
template <bool BF16_TOKENS>
static __device__ __forceinline__ void attend_query(const AttentionArgs &a) {
  SHARED_MEMORY(float, q);  // q[head_dim], then [head_dim + 2] for each warp: sums, maximum, total
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, dim = a.head_dim;
  int t = blockIdx.x / a.splits, split = blockIdx.x % a.splits, h = blockIdx.y;
  size_t b = blockIdx.z;
  int kv_head = h / (a.heads / a.kv_heads);
  int position = a.positions == nullptr ? 0 : a.positions[b];
  int last = position + t;
  int first = last >= a.window ? last - a.window + 1 : 0;
  int per_split = (last - first + a.splits) / a.splits;
  first += split * per_split;
  int end = min(first + per_split, last + 1);

  size_t token = b * a.length + t;
  float *warp_sums = q + dim + warp * (dim + 2);
  Row query = Row{a.q, BF16_TOKENS}.from(token * a.q_stride + h * dim);
  for (int i = threadIdx.x; i < dim; i += blockDim.x) q[i] = query[i] * a.scale;
  for (int i = lane; i < dim; i += 32) warp_sums[i] = 0;
  __syncthreads();

  float top = -INFINITY, total = 0;
  for (int j0 = first + warp * 32; j0 < end; j0 += ATTEND_WARPS * 32) {
    int j = j0 + lane;
    float score = -INFINITY;
    if (j < end) {
      Row key = token_at(a, a.cache_k, a.k, BF16_TOKENS, b, position, j, kv_head);
      score = 0;
      for (int i = 0; i < dim; i++) score += q[i] * key[i];
    }
    float new_top = fmaxf(top, warp_max(score));
    float p = j < end ? expf(score - new_top) : 0.0f;
    float rescale = expf(top - new_top);
    total = total * rescale + warp_sum(p);
    top = new_top;
    int count = min(32, end - j0);
    for (int i0 = 0; i0 < dim; i0 += 32) {
      int i = i0 + lane;
      float sum = i < dim ? warp_sums[i] * rescale : 0.0f;
      for (int n = 0; n < count; n++) {
        float weight = __shfl_sync(ALL_LANES, p, n);
        if (i >= dim) continue;
        sum += weight * token_at(a, a.cache_v, a.v, BF16_TOKENS, b, position, j0 + n, kv_head)[i];
      }
      if (i < dim) warp_sums[i] = sum;
    }
  }
  if (lane == 0) {
    warp_sums[dim] = top;
    warp_sums[dim + 1] = total;
  }
  __syncthreads();

  float block_top = -INFINITY;
  for (int w = 0; w < ATTEND_WARPS; w++) block_top = fmaxf(block_top, q[dim + w * (dim + 2) + dim]);
  float block_total = 0;
  for (int w = 0; w < ATTEND_WARPS; w++) {
    const float *part = q + dim + w * (dim + 2);
    if (part[dim + 1] > 0.0f) block_total += part[dim + 1] * expf(part[dim] - block_top);
  }
  float *partial =
      a.partial + ((split * static_cast<size_t>(gridDim.z) * a.length + token) * a.heads + h) * (dim + 2);
  for (int i = threadIdx.x; i < dim; i += blockDim.x) {
    float sum = 0;
    for (int w = 0; w < ATTEND_WARPS; w++) {
      const float *part = q + dim + w * (dim + 2);
      if (part[dim + 1] > 0.0f) sum += part[i] * expf(part[dim] - block_top);
    }
    size_t at = token * a.y_stride + h * dim + i;
    if (a.splits == 1) store_value(a.y, a.y_format, at, sum / block_total);
    else partial[i] = sum;
  }
  if (a.splits > 1 && threadIdx.x == 0) {
    partial[dim] = block_top;
    partial[dim + 1] = block_total;
  }
  // The slot that is overwritten has a token outside the window, so no block reads it.
  if (a.write_k != nullptr && split == 0 && h % (a.heads / a.kv_heads) == 0) {
    size_t from = token * a.kv_stride + kv_head * dim;
    size_t to = ((b * a.capacity + position % a.capacity) * a.kv_heads + kv_head) * dim;
    for (int i = threadIdx.x; i < dim; i += blockDim.x) write_to_cache(a, to + i, from + i);
  }
}

KERNEL(attend, AttentionArgs, ATTEND_WARPS * 32) { attend_query<false>(a); }
KERNEL(attend_bf16, AttentionArgs, ATTEND_WARPS * 32) { attend_query<true>(a); }

/** Combines the sums of the splits. Grid (tokens, heads). */
KERNEL(attend_combine, AttentionArgs, 128) {
  int dim = a.head_dim, h = blockIdx.y;
  size_t token = blockIdx.x, tokens = gridDim.x;
  float top = -INFINITY, total = 0;
  for (int s = 0; s < a.splits; s++) {
    top = fmaxf(top, a.partial[((s * tokens + token) * a.heads + h) * (dim + 2) + dim]);
  }
  for (int s = 0; s < a.splits; s++) {
    const float *part = a.partial + ((s * tokens + token) * a.heads + h) * (dim + 2);
    if (part[dim + 1] > 0.0f) total += part[dim + 1] * expf(part[dim] - top);
  }
  for (int i = threadIdx.x; i < dim; i += blockDim.x) {
    float sum = 0;
    for (int s = 0; s < a.splits; s++) {
      const float *part = a.partial + ((s * tokens + token) * a.heads + h) * (dim + 2);
      if (part[dim + 1] > 0.0f) sum += part[i] * expf(part[dim] - top);
    }
    store_value(a.y, a.y_format, token * a.y_stride + h * dim + i, sum / total);
  }
}

/**
 * Writes keys and values of several tokens to the KV cache. If tokens share a slot, the last is written.
 * Grid (length, batch).
 */
KERNEL(write_kv_cache, AttentionArgs, 256) {
  size_t b = blockIdx.y;
  int t = blockIdx.x;
  if (t + a.capacity < a.length) return;
  int slot = (a.positions[b] + t) % a.capacity, size = a.kv_heads * a.head_dim;
  size_t from = (b * a.length + t) * a.kv_stride, to = (b * a.capacity + slot) * size;
  for (int i = threadIdx.x; i < size; i += blockDim.x) write_to_cache(a, to + i, from + i);
}
