// The state-space-dual scan of many tokens on the tensor cores: matmuls within chunks
// (arXiv 2405.21060, section 6). The state passes from chunk to chunk in f32.
//
// With s the running sum of dt A over a chunk, and S the state before it:
//   y[i] = sum over j <= i of (C[i] . B[j]) exp(s[i] - s[j]) dt[j] x[j]  +  exp(s[i]) C[i] S^T
//   S    = exp(s[last]) S + sum over j of exp(s[last] - s[j]) dt[j] x[j] B[j]^T
// B, C, x, the weights of x[j] and a copy of S are bf16. All sums are f32.
#include "ssd_scan_args.h"

#define CHUNK_TOKENS 64
/** Channels of a head per block. */
#define CHUNK_CHANNELS 32
#define CHUNK_THREADS 128
/** Row pitch in 16-bit values: 16 bytes of padding avoid bank conflicts. */
#define CHANNEL_PITCH (CHUNK_CHANNELS + 8)

/** The first two warps compute dt (0 past the end) and the running sums of dt A of a chunk. */
static __device__ __forceinline__ void chunk_decays(const ScanArgs &a, size_t token, int count, int h,
                                                    float A, float *dts, float *sums) {
  __shared__ float first_half;
  int t = threadIdx.x;
  float sum = 0;
  if (t < CHUNK_TOKENS) {
    float dt = t < count ? effective_dt(a, token + t, h) : 0.0f;
    dts[t] = dt;
    sum = warp_running_sum(dt * A);
    if (t == 31) first_half = sum;
  }
  __syncthreads();
  if (t < CHUNK_TOKENS) sums[t] = t < 32 ? sum : sum + first_half;
  __syncthreads();
}

/** Stages rows of f32 as bf16 in shared memory, padded with zeros. */
template <int COLUMNS>
static __device__ __forceinline__ void stage_bf16(uint16_t *to, const float *from, int stride,
                                                  int count, int columns) {
  constexpr int PITCH = COLUMNS + 8;
  for (int i = threadIdx.x; i < CHUNK_TOKENS * COLUMNS / 2; i += CHUNK_THREADS) {
    int row = i / (COLUMNS / 2), column = i % (COLUMNS / 2) * 2;
    const float *at = from + static_cast<size_t>(row) * stride + column;
    float low = row < count && column < columns ? at[0] : 0.0f;
    float high = row < count && column + 1 < columns ? at[1] : 0.0f;
    *reinterpret_cast<uint32_t *>(to + row * PITCH + column) = to_bf16_pair(low, high);
  }
}

/** Whether every row is aligned to 16 bytes and its size is a multiple of 16 bytes. */
static __device__ __forceinline__ bool is_aligned(const uint16_t *from, int stride, int columns) {
  return (reinterpret_cast<size_t>(from) & 15) == 0 && stride % 8 == 0 && columns % 8 == 0;
}

/** Stages rows of bf16. Aligned rows are copied asynchronously until copy_wait(). */
template <int COLUMNS>
static __device__ __forceinline__ void stage_bf16(uint16_t *to, const uint16_t *from, int stride,
                                                  int count, int columns) {
  constexpr int PITCH = COLUMNS + 8;
  bool whole = is_aligned(from, stride, columns);
  for (int i = threadIdx.x; i < CHUNK_TOKENS * COLUMNS / 8; i += CHUNK_THREADS) {
    int row = i / (COLUMNS / 8), column = i % (COLUMNS / 8) * 8;
    uint16_t *at = to + row * PITCH + column;
    bool in = row < count && column < columns;
    const uint16_t *source = from + (in ? static_cast<size_t>(row) * stride + column : 0);
    if (whole) {
      copy_async(at, source, in);
    } else {
      for (int n = 0; n < 8; n++) at[n] = in && column + n < columns ? source[n] : 0;
    }
  }
}

/** Stores two adjacent values of y, or one if the second is beyond the block's channels. */
static __device__ __forceinline__ void store_two(float *to, const float (&v)[2], bool second, bool) {
  to[0] = v[0];
  if (second) to[1] = v[1];
}
static __device__ __forceinline__ void store_two(uint16_t *to, const float (&v)[2], bool second,
                                                 bool share_words) {
  if (second && share_words) {
    *reinterpret_cast<uint32_t *>(to) = to_bf16_pair(v[0], v[1]);
    return;
  }
  to[0] = to_bf16(v[0]);
  if (second) to[1] = to_bf16(v[1]);
}

/** Grid (head_dim / CHUNK_CHANNELS, heads, batch). The state has at most N columns. */
template <int N, typename T>
static __device__ __forceinline__ void scan_chunks(const ScanArgs &a) {
  constexpr int PITCH = N + 8, WARP_COLUMNS = N / 4;  // each warp has a quarter of the state's columns
  SHARED_MEMORY(uint16_t, memory);
  uint16_t *Cs = memory, *Bs = Cs + CHUNK_TOKENS * PITCH, *Ss = Bs + CHUNK_TOKENS * PITCH;
  uint16_t *xs = Ss + CHUNK_CHANNELS * PITCH, *weighted = xs + CHUNK_TOKENS * CHANNEL_PITCH;
  __shared__ float dts[CHUNK_TOKENS], sums[CHUNK_TOKENS];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int first_channel = blockIdx.x * CHUNK_CHANNELS, h = blockIdx.y;
  int channels = min(CHUNK_CHANNELS, a.head_dim - first_channel);
  size_t b = blockIdx.z;
  int group = h / (a.heads / a.groups);
  float A = a.A[h];
  size_t state_row = (b * a.heads + h) * a.head_dim + first_channel;

  // The state as mma accumulators: tiles of [16 channels][8 columns]. Element e of a lane is row
  // lane / 4 + 8 (e / 2), column 2 (lane % 4) + e % 2.
  float S[2][WARP_COLUMNS / 8][4];
  auto state_at = [&](int m, int n, int e, int &p, int &column) {
    p = m * 16 + lane / 4 + 8 * (e / 2);
    column = warp * WARP_COLUMNS + n * 8 + (lane % 4) * 2 + e % 2;
    return p < channels && column < a.state_size;
  };
#pragma unroll
  for (int m = 0; m < 2; m++)
#pragma unroll
    for (int n = 0; n < WARP_COLUMNS / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int p, column;
        bool in = state_at(m, n, e, p, column) && a.before != nullptr;
        S[m][n][e] = in ? a.before[(state_row + p) * a.state_size + column] : 0.0f;
      }

  for (int start = 0; start < a.length; start += CHUNK_TOKENS) {
    int count = min(CHUNK_TOKENS, a.length - start);
    size_t token = b * a.length + start;
    __syncthreads();  // all warps have read the previous chunk
    chunk_decays(a, token, count, h, A, dts, sums);
    float total = sums[CHUNK_TOKENS - 1];
    stage_bf16<N>(Cs, static_cast<const T *>(a.C) + token * a.c_stride + group * a.state_size,
                  a.c_stride, count, a.state_size);
    stage_bf16<N>(Bs, static_cast<const T *>(a.B) + token * a.b_stride + group * a.state_size,
                  a.b_stride, count, a.state_size);
    copy_commit();
    const T *x = static_cast<const T *>(a.x) + token * a.x_stride + h * a.head_dim + first_channel;
    for (int i = threadIdx.x; i < CHUNK_TOKENS * CHUNK_CHANNELS / 2; i += CHUNK_THREADS) {
      int t = i / (CHUNK_CHANNELS / 2), p = i % (CHUNK_CHANNELS / 2) * 2;
      const T *at = x + static_cast<size_t>(t) * a.x_stride + p;
      float low = t < count && p < channels ? to_float(at[0]) : 0.0f;
      float high = t < count && p + 1 < channels ? to_float(at[1]) : 0.0f;
      float weight = dts[t] * expf(total - sums[t]);
      int to = t * CHANNEL_PITCH + p;
      *reinterpret_cast<uint32_t *>(xs + to) = to_bf16_pair(low, high);
      *reinterpret_cast<uint32_t *>(weighted + to) = to_bf16_pair(low * weight, high * weight);
    }
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
      for (int n = 0; n < WARP_COLUMNS / 8; n++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          int p = m * 16 + lane / 4 + 8 * half;
          int column = warp * WARP_COLUMNS + n * 8 + (lane % 4) * 2;
          *reinterpret_cast<uint32_t *>(Ss + p * PITCH + column) =
              to_bf16_pair(S[m][n][2 * half], S[m][n][2 * half + 1]);
        }
    copy_wait<0>();
    __syncthreads();

    // Each warp computes 16 tokens: C S^T, and C . B with the tokens up to them.
    int row = warp * 16;
    float y[CHUNK_CHANNELS / 8][4] = {}, CB[CHUNK_TOKENS / 8][4] = {};
#pragma unroll
    for (int k = 0; k < N; k += 16) {
      uint32_t c[4], r[4];
      load_matrix(c, Cs + (row + lane % 16) * PITCH + k + (lane / 16) * 8);
#pragma unroll
      for (int p = 0; p < CHUNK_CHANNELS; p += 16) {
        load_matrix(r, Ss + (p + lane % 16) * PITCH + k + (lane / 16) * 8);
        mma<false>(y[p / 8], c, r[0], r[2]);
        mma<false>(y[p / 8 + 1], c, r[1], r[3]);
      }
#pragma unroll
      for (int j = 0; j < CHUNK_TOKENS; j += 16) {
        if (j > row) continue;  // only later tokens
        load_matrix(r, Bs + (j + lane % 16) * PITCH + k + (lane / 16) * 8);
        mma<false>(CB[j / 8], c, r[0], r[2]);
        mma<false>(CB[j / 8 + 1], c, r[1], r[3]);
      }
    }
    float s[2] = {sums[row + lane / 4], sums[row + lane / 4 + 8]};
    float from_state[2] = {expf(s[0]), expf(s[1])};
#pragma unroll
    for (int n = 0; n < CHUNK_CHANNELS / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) y[n][e] *= from_state[e / 2];
#pragma unroll
    for (int j = 0; j < CHUNK_TOKENS; j += 16) {
      if (j > row) continue;
      // The accumulators of two tiles, weighted, have the layout of the left operand of the next mma.
      uint32_t w[4], r[4];
#pragma unroll
      for (int tile = 0; tile < 2; tile++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          int i = row + lane / 4 + 8 * half, t = j + tile * 8 + (lane % 4) * 2;
          const float *cb = &CB[j / 8 + tile][2 * half];
          float low = t <= i ? cb[0] * expf(s[half] - sums[t]) * dts[t] : 0.0f;
          float high = t + 1 <= i ? cb[1] * expf(s[half] - sums[t + 1]) * dts[t + 1] : 0.0f;
          w[half + 2 * tile] = to_bf16_pair(low, high);
        }
#pragma unroll
      for (int p = 0; p < CHUNK_CHANNELS; p += 16) {
        load_transposed(r, xs + (j + lane % 16) * CHANNEL_PITCH + p + (lane / 16) * 8);
        mma<false>(y[p / 8], w, r[0], r[1]);
        mma<false>(y[p / 8 + 1], w, r[2], r[3]);
      }
    }
    bool share_words = (reinterpret_cast<size_t>(a.y) & 3) == 0 && a.y_stride % 2 == 0 &&
                       (h * a.head_dim) % 2 == 0;
#pragma unroll
    for (int n = 0; n < CHUNK_CHANNELS / 8; n++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int i = row + lane / 4 + 8 * half, p = n * 8 + (lane % 4) * 2;
        if (i >= count || p >= channels) continue;
        int channel = h * a.head_dim + first_channel + p;
        bool second = p + 1 < channels;
        const T *from = x + static_cast<size_t>(i) * a.x_stride + p;
        float v[2] = {y[n][2 * half], y[n][2 * half + 1]};
        if (a.D != nullptr) {
          v[0] += a.D[a.d_per_channel ? channel : h] * to_float(from[0]);
          if (second) v[1] += a.D[a.d_per_channel ? channel + 1 : h] * to_float(from[1]);
        }
        store_two(static_cast<T *>(a.y) + (token + i) * a.y_stride + channel, v, second, share_words);
      }

    float decay = expf(total);
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
      for (int n = 0; n < WARP_COLUMNS / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) S[m][n][e] *= decay;
#pragma unroll
    for (int t = 0; t < CHUNK_TOKENS; t += 16) {
      uint32_t left[2][4], r[4];
#pragma unroll
      for (int m = 0; m < 2; m++) {
        // Rows are tokens here, so the quarters of the transposed tile are in the other order.
        load_transposed(left[m], weighted + (t + (lane / 16) * 8 + lane % 8) * CHANNEL_PITCH +
                                     m * 16 + (lane / 8 % 2) * 8);
      }
#pragma unroll
      for (int n = 0; n < WARP_COLUMNS; n += 16) {
        int column = warp * WARP_COLUMNS + n + (lane / 16) * 8;
        load_transposed(r, Bs + (t + lane % 16) * PITCH + column);
#pragma unroll
        for (int m = 0; m < 2; m++) {
          mma<false>(S[m][n / 8], left[m], r[0], r[1]);
          mma<false>(S[m][n / 8 + 1], left[m], r[2], r[3]);
        }
      }
    }
  }
  if (a.after == nullptr) return;
#pragma unroll
  for (int m = 0; m < 2; m++)
#pragma unroll
    for (int n = 0; n < WARP_COLUMNS / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int p, column;
        if (!state_at(m, n, e, p, column)) continue;
        a.after[(state_row + p) * a.state_size + column] = S[m][n][e];
      }
}

KERNEL(ssd_chunks_64, ScanArgs, CHUNK_THREADS) { scan_chunks<64, float>(a); }
KERNEL(ssd_chunks_128, ScanArgs, CHUNK_THREADS) { scan_chunks<128, float>(a); }
KERNEL(ssd_chunks_64_bf16, ScanArgs, CHUNK_THREADS) { scan_chunks<64, uint16_t>(a); }
KERNEL(ssd_chunks_128_bf16, ScanArgs, CHUNK_THREADS) { scan_chunks<128, uint16_t>(a); }
