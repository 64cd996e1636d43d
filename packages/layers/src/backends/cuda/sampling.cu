// Samples each sequence's next token: greedily, or by temperature, top k, top p and min p.
// TokenDistribution of @rene-js/rene computes the same in double precision.
//
// Weights are exp((logit - largest) / temperature) in f32, then rounded to multiples of 2^-40: sums of
// integers do not depend on the order of their terms, so the same random number gives the same token.
#include "device.h"

/** Sampling parameters of a sequence, in host memory. The host writes them before each step. */
struct SamplingParams {
  /** Uniform random number in [0, 1). */
  double random;
  /** 0: greedy. */
  double temperature;
  /** Off: top_p 1, min_p 0. */
  double top_p, min_p;
  /** 0: all. */
  int top_k, unused;
};

struct SampleArgs {
  const float *logits;
  const SamplingParams *params;
  /** Input tokens of the next step, and the sampled tokens for the host: -1 if none can be sampled. */
  int *next_tokens, *output;
  /** Number of tokens per sequence, incremented by one. May be null. */
  int *positions;
  int vocabulary, pitch;
};

#define SAMPLE_THREADS 1024
#define SAMPLE_WARPS (SAMPLE_THREADS / 32)
#define BINS 2048

typedef unsigned long long Weight;

/** Maps a float to an integer of the same order. */
static __device__ __forceinline__ uint32_t to_ordered_bits(float v) {
  uint32_t bits = __float_as_uint(v);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
static __device__ __forceinline__ float from_ordered_bits(uint32_t order) {
  return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

/** Sampling state of the block's row: the tokens that are still candidates, and shared memory. */
struct Sampler {
  const float *logits;
  int vocabulary;
  float top, inverse_temperature, min_weight;
  /** Candidates: logits above the cutoff, and the first `ties` that equal it in order of their ids. */
  uint32_t cutoff;
  int ties;
  Weight *bins, *sums;
  uint32_t *found_bin;
  Weight *found_before;

  __device__ __forceinline__ float float_weight(float logit) const {
    return expf((logit - top) * inverse_temperature);
  }
  __device__ __forceinline__ Weight fixed_weight(float logit) const {
    float w = float_weight(logit);
    return w < min_weight ? 0 : static_cast<Weight>(w * 1099511627776.0f);
  }
};

static __device__ __forceinline__ Weight block_total(Weight v, Weight *sums) {
  for (int lane = 16; lane > 0; lane >>= 1) v += __shfl_xor_sync(ALL_LANES, v, lane);
  if ((threadIdx.x & 31) == 0) sums[threadIdx.x >> 5] = v;
  __syncthreads();
  Weight total = 0;
  for (int w = 0; w < SAMPLE_WARPS; w++) total += sums[w];
  __syncthreads();
  return total;
}

/** Finds the bin, from the highest down, where the running sum reaches the target, and the sum before it. */
static __device__ __forceinline__ void find_bin(Sampler &s, Weight target) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int high = BINS - 1 - 2 * static_cast<int>(threadIdx.x), low = high - 1;
  Weight own_sum = s.bins[high] + s.bins[low];
  Weight running_sum = warp_running_sum(own_sum);
  if (lane == 31) s.sums[warp] = running_sum;
  __syncthreads();
  Weight before = running_sum - own_sum;
  for (int w = 0; w < warp; w++) before += s.sums[w];
  if (before < target && target <= before + own_sum) {
    bool first = target <= before + s.bins[high];
    *s.found_bin = first ? high : low;
    *s.found_before = first ? before : before + s.bins[high];
  }
  __syncthreads();
}

/**
 * Keeps the largest logits until their sizes sum to the target, by a radix search. A size is 1 (BY_COUNT)
 * or the weight. The target is above 0 and at most the sum over all candidates.
 */
template <bool BY_COUNT>
static __device__ __forceinline__ void keep_largest(Sampler &s, Weight target) {
  Weight tie = BY_COUNT ? 1 : s.fixed_weight(from_ordered_bits(s.cutoff));
  uint32_t prefix = 0;
  int shift = 32;
  while (shift > 0) {
    int width = shift == 10 ? 10 : 11;
    int below = shift - width;
    for (int i = threadIdx.x; i < BINS; i += SAMPLE_THREADS) s.bins[i] = 0;
    __syncthreads();
    auto bin = [&](uint32_t order) { return (order >> below) & ((1u << width) - 1u); };
    auto inside = [&](uint32_t order) { return shift == 32 || order >> shift == prefix; };
    for (int i = threadIdx.x; i < s.vocabulary; i += SAMPLE_THREADS) {
      float logit = s.logits[i];
      uint32_t order = to_ordered_bits(logit);
      if (order <= s.cutoff || !inside(order)) continue;
      atomicAdd(&s.bins[bin(order)], BY_COUNT ? Weight{1} : s.fixed_weight(logit));
    }
    if (threadIdx.x == 0 && s.ties > 0 && inside(s.cutoff)) {
      atomicAdd(&s.bins[bin(s.cutoff)], tie * static_cast<Weight>(s.ties));
    }
    __syncthreads();
    find_bin(s, target);
    prefix = prefix << width | *s.found_bin;
    target -= *s.found_before;
    __syncthreads();
    shift = below;
  }
  Weight size = BY_COUNT ? 1 : s.fixed_weight(from_ordered_bits(prefix));
  s.cutoff = prefix;
  s.ties = static_cast<int>((target + size - 1) / size);
}

/** Keeps all logits that tie with the smallest candidate. */
static __device__ __forceinline__ void keep_ties(Sampler &s) {
  Weight equal = 0;
  for (int i = threadIdx.x; i < s.vocabulary; i += SAMPLE_THREADS) {
    equal += to_ordered_bits(s.logits[i]) == s.cutoff;
  }
  s.ties = static_cast<int>(block_total(equal, s.sums));
}

/** Sum of the weights of all candidates. */
static __device__ __forceinline__ Weight kept_total(const Sampler &s) {
  Weight sum = 0;
  for (int i = threadIdx.x; i < s.vocabulary; i += SAMPLE_THREADS) {
    float logit = s.logits[i];
    if (to_ordered_bits(logit) > s.cutoff) sum += s.fixed_weight(logit);
  }
  Weight tie = s.ties > 0 ? s.fixed_weight(from_ordered_bits(s.cutoff)) : 0;
  return block_total(sum, s.sums) + tie * static_cast<Weight>(s.ties);
}

/**
 * Draws a candidate: the first, in order of ids, whose cumulative weight exceeds random * total. Each
 * warp has a contiguous range of ids.
 */
static __device__ __forceinline__ void draw(const Sampler &s, double random, int *drawn) {
  __shared__ int tie_counts[SAMPLE_WARPS];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int run = (s.vocabulary + SAMPLE_THREADS - 1) / SAMPLE_THREADS * 32;
  int first = warp * run, end = min(first + run, s.vocabulary);
  Weight sum = 0;
  int equal = 0;
  for (int i = first + lane; i < end; i += 32) {
    uint32_t order = to_ordered_bits(s.logits[i]);
    if (order > s.cutoff) sum += s.fixed_weight(s.logits[i]);
    equal += order == s.cutoff;
  }
  for (int by = 16; by > 0; by >>= 1) {
    sum += __shfl_xor_sync(ALL_LANES, sum, by);
    equal += __shfl_xor_sync(ALL_LANES, equal, by);
  }
  if (lane == 0) {
    s.sums[warp] = sum;
    tie_counts[warp] = equal;
  }
  __syncthreads();
  Weight tie = s.ties > 0 ? s.fixed_weight(from_ordered_bits(s.cutoff)) : 0;
  Weight total = 0, before = 0, own_sum = 0;
  int ties_left = s.ties, my_ties = 0;
  for (int w = 0; w < SAMPLE_WARPS; w++) {
    int kept = min(tie_counts[w], ties_left);
    Weight of_warp = s.sums[w] + tie * static_cast<Weight>(kept);
    if (w == warp) {
      before = total;
      own_sum = of_warp;
      my_ties = kept;
    }
    total += of_warp;
    ties_left -= kept;
  }
  Weight at = static_cast<Weight>(random * static_cast<double>(total));
  if (at >= total) at = total > 0 ? total - 1 : 0;
  if (at < before || at >= before + own_sum) return;  // it is in another warp's range
  for (int i0 = first; i0 < end; i0 += 32) {
    int i = i0 + lane;
    uint32_t order = i < end ? to_ordered_bits(s.logits[i]) : 0;
    unsigned equals = __ballot_sync(ALL_LANES, i < end && order == s.cutoff);
    int rank = __popc(equals & ((1u << lane) - 1u));
    bool kept = i < end && (order > s.cutoff || (order == s.cutoff && rank < my_ties));
    my_ties -= min(my_ties, __popc(equals));
    Weight running_sum = before + warp_running_sum(kept ? s.fixed_weight(s.logits[i]) : Weight{0});
    unsigned past = __ballot_sync(ALL_LANES, running_sum > at);
    if (past != 0) {
      if (lane == __ffs(past) - 1) *drawn = i;
      return;
    }
    before = __shfl_sync(ALL_LANES, running_sum, 31);
  }
}

/** Maximum over the block of (ordered logit, ~id) pairs: the lowest id wins ties. */
static __device__ __forceinline__ Weight block_largest(Weight v, Weight *sums) {
  for (int by = 16; by > 0; by >>= 1) v = max(v, __shfl_xor_sync(ALL_LANES, v, by));
  if ((threadIdx.x & 31) == 0) sums[threadIdx.x >> 5] = v;
  __syncthreads();
  for (int w = 0; w < SAMPLE_WARPS; w++) v = max(v, sums[w]);
  __syncthreads();
  return v;
}

/** One block per sequence: grid (rows). */
KERNEL(sample_tokens, SampleArgs, SAMPLE_THREADS) {
  __shared__ Weight bins[BINS], sums[SAMPLE_WARPS], found_before;
  __shared__ uint32_t found_bin;
  __shared__ int drawn, has_invalid_logit;
  __shared__ SamplingParams p;
  size_t row = blockIdx.x;
  if (threadIdx.x == 0) {
    const volatile SamplingParams *from = a.params + row;
    p.random = from->random;
    p.temperature = from->temperature;
    p.top_p = from->top_p;
    p.min_p = from->min_p;
    p.top_k = from->top_k;
    drawn = -1;
    has_invalid_logit = 0;
  }
  __syncthreads();
  const float *logits = a.logits + row * a.pitch;
  Weight best = 0;
  int finite = 0;
  for (int i = threadIdx.x; i < a.vocabulary; i += SAMPLE_THREADS) {
    float logit = logits[i];
    if (logit != logit || logit == INFINITY) has_invalid_logit = 1;
    if (!(logit > -INFINITY)) continue;
    finite++;
    best = max(best, static_cast<Weight>(to_ordered_bits(logit)) << 32 | ~static_cast<uint32_t>(i));
  }
  best = block_largest(best, sums);
  int id = best == 0 ? -1 : static_cast<int>(~static_cast<uint32_t>(best));
  if (p.temperature > 0.0 && id >= 0) {
    // At first all logits except -Infinity are candidates.
    Sampler s = {logits, a.vocabulary, from_ordered_bits(static_cast<uint32_t>(best >> 32)),
                 static_cast<float>(1.0 / p.temperature), 0.0f, to_ordered_bits(-INFINITY), 0,
                 bins, sums, &found_bin, &found_before};
    int count = static_cast<int>(block_total(finite, sums));
    if (p.top_k > 0 && p.top_k < count) {
      keep_largest<true>(s, p.top_k);
      keep_ties(s);  // as in transformers
    }
    if (p.top_p > 0.0 && p.top_p < 1.0) {
      // Rounded down, so that with ten equal weights nine of them reach 0.9.
      double target = p.top_p * static_cast<double>(kept_total(s));
      keep_largest<false>(s, max(Weight{1}, static_cast<Weight>(target)));
    }
    s.min_weight = static_cast<float>(p.min_p);
    draw(s, p.random, &drawn);
    __syncthreads();
    id = has_invalid_logit ? -1 : drawn;
  }
  if (threadIdx.x != 0) return;
  a.next_tokens[row] = id < 0 ? 0 : id;
  a.output[row] = id;
  if (a.positions != nullptr) a.positions[row]++;
}
