// Chooses each row's next token: greedily, or by temperature, top k, top p and min p, which is what
// TokenDistribution of @rene-js/rene computes in double precision.
//
// Weights are exp((logit - largest) / temperature) in f32, then whole multiples of 2^-40, so that
// sums do not depend on the order of their terms and the same random number gives the same token.
#include "device.h"

/** How a row chooses; in the host's memory, written before each step. */
struct Choice {
  /** In [0, 1). */
  double random;
  /** 0 is greedy. */
  double temperature;
  /** Off at 1, 1 and 0. */
  double top_p, min_p;
  /** 0 for all. */
  int top_k, unused;
};

struct SampleArgs {
  const float *logits;
  const Choice *choices;
  /** Tokens for the next step, and the same for the host: -1 where there is none to choose. */
  int *next, *told;
  /** Tokens that each row saw, moved on by one; may be null. */
  int *positions;
  int vocabulary, pitch;
};

#define SAMPLE_THREADS 1024
#define SAMPLE_WARPS (SAMPLE_THREADS / 32)
#define BINS 2048

typedef unsigned long long Weight;

/** Grows with the number. */
static __device__ __forceinline__ uint32_t order_of(float v) {
  uint32_t bits = __float_as_uint(v);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
static __device__ __forceinline__ float number_of(uint32_t order) {
  return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

/** Of the block's row: what is left of it, and shared memory to find out more. */
struct Sampler {
  const float *logits;
  int vocabulary;
  float top, inverse_temperature, least;
  /** Kept are logits above the cutoff, and in order of their ids so many equal to it. */
  uint32_t cutoff;
  int ties;
  Weight *bins, *sums;
  uint32_t *found_bin;
  Weight *found_before;

  __device__ __forceinline__ float weight(float logit) const {
    return expf((logit - top) * inverse_temperature);
  }
  __device__ __forceinline__ Weight units(float logit) const {
    float w = weight(logit);
    return w < least ? 0 : static_cast<Weight>(w * 1099511627776.0f);
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

/** The bin, from the highest down, in which the running sum reaches the target; what came before it. */
static __device__ __forceinline__ void find_bin(Sampler &s, Weight target) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int high = BINS - 1 - 2 * static_cast<int>(threadIdx.x), low = high - 1;
  Weight mine = s.bins[high] + s.bins[low];
  Weight to_here = warp_running_sum(mine);
  if (lane == 31) s.sums[warp] = to_here;
  __syncthreads();
  Weight before = to_here - mine;
  for (int w = 0; w < warp; w++) before += s.sums[w];
  if (before < target && target <= before + mine) {
    bool first = target <= before + s.bins[high];
    *s.found_bin = first ? high : low;
    *s.found_before = first ? before : before + s.bins[high];
  }
  __syncthreads();
}

/**
 * Keeps the largest logits whose sizes reach the target: a size is 1 (BY_COUNT) or the weight. The
 * target is above 0 and at most the sum of all that are kept so far.
 */
template <bool BY_COUNT>
static __device__ __forceinline__ void keep_until(Sampler &s, Weight target) {
  Weight tie = BY_COUNT ? 1 : s.units(number_of(s.cutoff));
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
      uint32_t order = order_of(logit);
      if (order <= s.cutoff || !inside(order)) continue;
      atomicAdd(&s.bins[bin(order)], BY_COUNT ? Weight{1} : s.units(logit));
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
  Weight size = BY_COUNT ? 1 : s.units(number_of(prefix));
  s.cutoff = prefix;
  s.ties = static_cast<int>((target + size - 1) / size);
}

/** Keeps all logits that equal the smallest one that is kept. */
static __device__ __forceinline__ void keep_ties(Sampler &s) {
  Weight equal = 0;
  for (int i = threadIdx.x; i < s.vocabulary; i += SAMPLE_THREADS) {
    equal += order_of(s.logits[i]) == s.cutoff;
  }
  s.ties = static_cast<int>(block_total(equal, s.sums));
}

/** The sum of the weights that are kept. */
static __device__ __forceinline__ Weight kept_total(const Sampler &s) {
  Weight sum = 0;
  for (int i = threadIdx.x; i < s.vocabulary; i += SAMPLE_THREADS) {
    float logit = s.logits[i];
    if (order_of(logit) > s.cutoff) sum += s.units(logit);
  }
  Weight ties = s.ties > 0 ? s.units(number_of(s.cutoff)) * static_cast<Weight>(s.ties) : 0;
  return block_total(sum, s.sums) + ties;
}

/** The token at `random` of those that are kept, in the order of their ids. A warp has a run of ids. */
static __device__ __forceinline__ void draw(const Sampler &s, double random, int *drawn) {
  __shared__ int tie_counts[SAMPLE_WARPS];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int run = (s.vocabulary + SAMPLE_THREADS - 1) / SAMPLE_THREADS * 32;
  int first = warp * run, end = min(first + run, s.vocabulary);
  Weight sum = 0;
  int equal = 0;
  for (int i = first + lane; i < end; i += 32) {
    uint32_t order = order_of(s.logits[i]);
    if (order > s.cutoff) sum += s.units(s.logits[i]);
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
  Weight tie = s.ties > 0 ? s.units(number_of(s.cutoff)) : 0;
  Weight total = 0, before = 0, mine = 0;
  int ties_left = s.ties, my_ties = 0;
  for (int w = 0; w < SAMPLE_WARPS; w++) {
    int kept = min(tie_counts[w], ties_left);
    Weight of_warp = s.sums[w] + tie * static_cast<Weight>(kept);
    if (w == warp) {
      before = total;
      mine = of_warp;
      my_ties = kept;
    }
    total += of_warp;
    ties_left -= kept;
  }
  Weight at = static_cast<Weight>(random * static_cast<double>(total));
  if (at >= total) at = total > 0 ? total - 1 : 0;
  if (at < before || at >= before + mine) return;  // another warp's
  for (int i0 = first; i0 < end; i0 += 32) {
    int i = i0 + lane;
    uint32_t order = i < end ? order_of(s.logits[i]) : 0;
    unsigned equals = __ballot_sync(ALL_LANES, i < end && order == s.cutoff);
    int rank = __popc(equals & ((1u << lane) - 1u));
    bool kept = i < end && (order > s.cutoff || (order == s.cutoff && rank < my_ties));
    my_ties -= min(my_ties, __popc(equals));
    Weight to_here = before + warp_running_sum(kept ? s.units(s.logits[i]) : Weight{0});
    unsigned past = __ballot_sync(ALL_LANES, to_here > at);
    if (past != 0) {
      if (lane == __ffs(past) - 1) *drawn = i;
      return;
    }
    before = __shfl_sync(ALL_LANES, to_here, 31);
  }
}

/** The largest logit in the upper half, and in the lower its id so that the lowest id wins. */
static __device__ __forceinline__ Weight block_largest(Weight v, Weight *sums) {
  for (int by = 16; by > 0; by >>= 1) v = max(v, __shfl_xor_sync(ALL_LANES, v, by));
  if ((threadIdx.x & 31) == 0) sums[threadIdx.x >> 5] = v;
  __syncthreads();
  for (int w = 0; w < SAMPLE_WARPS; w++) v = max(v, sums[w]);
  __syncthreads();
  return v;
}

/** A block is a row: grid (rows). */
KERNEL(sample_tokens, SampleArgs, SAMPLE_THREADS) {
  __shared__ Weight bins[BINS], sums[SAMPLE_WARPS], found_before;
  __shared__ uint32_t found_bin;
  __shared__ int drawn, damaged;
  __shared__ Choice choice;
  size_t row = blockIdx.x;
  if (threadIdx.x == 0) {
    const volatile Choice *from = a.choices + row;
    choice.random = from->random;
    choice.temperature = from->temperature;
    choice.top_p = from->top_p;
    choice.min_p = from->min_p;
    choice.top_k = from->top_k;
    drawn = -1;
    damaged = 0;
  }
  __syncthreads();
  const float *logits = a.logits + row * a.pitch;
  Weight best = 0;
  int finite = 0;
  for (int i = threadIdx.x; i < a.vocabulary; i += SAMPLE_THREADS) {
    float logit = logits[i];
    if (logit != logit || logit == INFINITY) damaged = 1;
    if (!(logit > -INFINITY)) continue;
    finite++;
    best = max(best, static_cast<Weight>(order_of(logit)) << 32 | ~static_cast<uint32_t>(i));
  }
  best = block_largest(best, sums);
  int id = best == 0 ? -1 : static_cast<int>(~static_cast<uint32_t>(best));
  if (choice.temperature > 0.0 && id >= 0) {
    // Above the cutoff at first: all but -Infinity.
    Sampler s = {logits, a.vocabulary, number_of(static_cast<uint32_t>(best >> 32)),
                 static_cast<float>(1.0 / choice.temperature), 0.0f, order_of(-INFINITY), 0,
                 bins, sums, &found_bin, &found_before};
    int count = static_cast<int>(block_total(finite, sums));
    if (choice.top_k > 0 && choice.top_k < count) {
      keep_until<true>(s, choice.top_k);
      keep_ties(s); // as transformers does
    }
    if (choice.top_p > 0.0 && choice.top_p < 1.0) {
      // Rounded down: with ten equal weights, 0.9 is reached by nine of them.
      double target = choice.top_p * static_cast<double>(kept_total(s));
      keep_until<false>(s, max(Weight{1}, static_cast<Weight>(target)));
    }
    s.least = static_cast<float>(choice.min_p);
    draw(s, choice.random, &drawn);
    __syncthreads();
    id = damaged ? -1 : drawn;
  }
  if (threadIdx.x != 0) return;
  a.next[row] = id < 0 ? 0 : id;
  a.told[row] = id;
  if (a.positions != nullptr) a.positions[row]++;
}
