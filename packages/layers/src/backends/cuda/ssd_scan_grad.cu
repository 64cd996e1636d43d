// Gradient of the state-space-dual scan, in f32: chunks of 32 tokens, each recomputed from the state
// before it (arXiv 2405.21060, section 6).
//
// For one head, with a = dt A, s its running sum over a chunk, L[i][j] = exp(s[i] - s[j]) for j <= i, S
// the state before the chunk and G the gradient of the state after it:
//   d(dt x)[j] = sum over i of L (C[i] . B[j]) dy[i]    + exp(s[last] - s[j]) G B[j]
//   dB[j]      = sum over i of L (dy[i] . dt x[j]) C[i] + exp(s[last] - s[j]) G^T dt x[j]
//   dC[i]      = sum over j of L (dy[i] . dt x[j]) B[j] + exp(s[i]) S^T dy[i]
// The gradient of a[t] sums all terms that a[t] scales. With W[i][j] = L (C[i] . B[j]) (dy[i] . dt x[j]),
// q[i] the part of dC[i] . C[i] from S, and v[j] the part of d(dt x)[j] . dt x[j] from G:
//   da[t] = sum over i >= t, j < t of W[i][j] + sum over i >= t of q[i] + sum over j < t of v[j]
//           + exp(s[last]) (G . S)
// Three kernels: each chunk's contribution to the states and their gradients; the recurrence over
// chunks; the gradients of each chunk. Sums over heads or chunks are returned as partial sums.
#include "ssd_scan_args.h"

#define GRAD_TOKENS 32
#define GRAD_BLOCK 256
/** Columns of the state that are staged at a time, and the pitch of a staged row. */
#define SLAB 32
#define SLAB_PITCH 33

struct ScanGradArgs {
  const float *x, *B, *C, *dt, *A, *D, *dt_bias, *before, *dy, *dafter;
  float *dx, *ddt, *dbefore;
  /**
   * Partial sums. dA and ddt_bias: [sequence][chunk][head]; dB and dC: [token][head][state];
   * dD: [sequence][chunk][head or channel].
   */
  float *dA, *dB, *dC, *dD, *ddt_bias;
  /** states and dstates: [sequence][head][chunk][channel][state]; decays: [sequence][head][chunk]. */
  float *states, *dstates, *decays;
  int length, heads, head_dim, state_size, groups, chunks, d_per_channel, softplus;
  float dt_min, dt_max;
};

/** Indices of a chunk, and A of its head. */
struct GradChunk {
  size_t b, token, state;
  int h, group, count;
  float A;
};

static __device__ __forceinline__ GradChunk grad_chunk(const ScanGradArgs &a) {
  GradChunk chunk;
  int c = blockIdx.x;
  chunk.h = blockIdx.y;
  chunk.b = blockIdx.z;
  chunk.group = chunk.h / (a.heads / a.groups);
  chunk.token = chunk.b * a.length + c * GRAD_TOKENS;
  chunk.count = min(GRAD_TOKENS, a.length - c * GRAD_TOKENS);
  chunk.state = ((chunk.b * a.heads + chunk.h) * a.chunks + c) * a.head_dim * a.state_size;
  chunk.A = a.A[chunk.h];
  return chunk;
}

/** dt plus its bias, before softplus and limits. */
static __device__ __forceinline__ float raw_dt(const ScanGradArgs &a, const GradChunk &chunk, int t) {
  float dt = a.dt[(chunk.token + t) * a.heads + chunk.h];
  return a.dt_bias == nullptr ? dt : dt + a.dt_bias[chunk.h];
}

/**
 * The first warp computes for each token: dt (0 past the end), and exp of the sum of a up to the token
 * and after it.
 */
static __device__ __forceinline__ void grad_decays(const ScanGradArgs &a, const GradChunk &chunk,
                                                   float *dts, float *from_start, float *to_end) {
  int t = threadIdx.x;
  if (t < GRAD_TOKENS) {
    float dt = 0;
    if (t < chunk.count) dt = limit_dt(raw_dt(a, chunk, t), a.softplus, a.dt_min, a.dt_max);
    dts[t] = dt;
    __syncwarp();
    float up_to = 0, after = 0;
    for (int i = 0; i <= t; i++) up_to += dts[i] * chunk.A;
    for (int i = GRAD_TOKENS - 1; i > t; i--) after += dts[i] * chunk.A;
    from_start[t] = expf(up_to);
    to_end[t] = expf(after);
  }
  __syncthreads();
}

/** Stages rows of a head's channels, or of a slab of B or C, padded with zeros. */
template <int COLUMNS>
static __device__ __forceinline__ void stage_values(float *to, const float *from, size_t stride,
                                                    int rows, int count, int columns) {
  for (int i = threadIdx.x; i < rows * COLUMNS; i += GRAD_BLOCK) {
    int row = i / COLUMNS, column = i % COLUMNS;
    bool in = row < count && column < columns;
    to[row * (COLUMNS + 1) + column] = in ? from[row * stride + column] : 0.0f;
  }
}

/** Stages x and dy of a chunk's head. Heads have at most P channels. */
template <int P>
static __device__ __forceinline__ void stage_channels(const ScanGradArgs &a, const GradChunk &chunk,
                                                      float *xs, float *dys) {
  size_t stride = static_cast<size_t>(a.heads) * a.head_dim;
  size_t at = chunk.token * stride + chunk.h * a.head_dim;
  stage_values<P>(xs, a.x + at, stride, GRAD_TOKENS, chunk.count, a.head_dim);
  stage_values<P>(dys, a.dy + at, stride, GRAD_TOKENS, chunk.count, a.head_dim);
}

/** Stages columns n0 ... n0 + SLAB - 1 of B and C. */
static __device__ __forceinline__ void stage_slab(const ScanGradArgs &a, const GradChunk &chunk, int n0,
                                                  float *Bs, float *Cs) {
  size_t stride = static_cast<size_t>(a.groups) * a.state_size;
  size_t at = chunk.token * stride + chunk.group * a.state_size + n0;
  stage_values<SLAB>(Bs, a.B + at, stride, GRAD_TOKENS, chunk.count, a.state_size - n0);
  stage_values<SLAB>(Cs, a.C + at, stride, GRAD_TOKENS, chunk.count, a.state_size - n0);
}

/**
 * A chunk's contribution to the state after it, and to the gradient of the state before it. Grid
 * (chunks, heads, batch).
 */
template <int P>
static __device__ __forceinline__ void grad_states(const ScanGradArgs &a) {
  constexpr int WARPS = GRAD_BLOCK / 32;
  __shared__ float dts[GRAD_TOKENS], from_start[GRAD_TOKENS], to_end[GRAD_TOKENS];
  SHARED_MEMORY(float, xs);
  float *dys = xs + GRAD_TOKENS * (P + 1);
  float *Bs = dys + GRAD_TOKENS * (P + 1), *Cs = Bs + GRAD_TOKENS * SLAB_PITCH;
  GradChunk chunk = grad_chunk(a);
  grad_decays(a, chunk, dts, from_start, to_end);
  stage_channels<P>(a, chunk, xs, dys);
  if (threadIdx.x == 0) {
    a.decays[(chunk.b * a.heads + chunk.h) * a.chunks + blockIdx.x] = from_start[GRAD_TOKENS - 1];
  }
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int n0 = 0; n0 < a.state_size; n0 += SLAB) {
    __syncthreads();
    stage_slab(a, chunk, n0, Bs, Cs);
    __syncthreads();
    float state_added[P / WARPS] = {}, grad_added[P / WARPS] = {};
    for (int t = 0; t < chunk.count; t++) {
      float b = Bs[t * SLAB_PITCH + lane] * to_end[t] * dts[t];
      float c = Cs[t * SLAB_PITCH + lane] * from_start[t];
#pragma unroll
      for (int k = 0; k < P / WARPS; k++) {
        state_added[k] += xs[t * (P + 1) + warp + k * WARPS] * b;
        grad_added[k] += dys[t * (P + 1) + warp + k * WARPS] * c;
      }
    }
#pragma unroll
    for (int k = 0; k < P / WARPS; k++) {
      int p = warp + k * WARPS, n = n0 + lane;
      if (p >= a.head_dim || n >= a.state_size) continue;
      size_t at = chunk.state + static_cast<size_t>(p) * a.state_size + n;
      a.states[at] = state_added[k];
      a.dstates[at] = grad_added[k];
    }
  }
}

KERNEL(scan_grad_states_64, ScanGradArgs, GRAD_BLOCK) { grad_states<64>(a); }
KERNEL(scan_grad_states_128, ScanGradArgs, GRAD_BLOCK) { grad_states<128>(a); }

/**
 * Replaces the chunks' contributions by the states before the chunks and the gradients of the states
 * after them. One thread per element of the state: grid (head_dim * state_size / threads, heads, batch).
 */
KERNEL(scan_grad_carry, ScanGradArgs, 256) {
  size_t size = static_cast<size_t>(a.head_dim) * a.state_size;
  size_t i = blockIdx.x * 256u + threadIdx.x;
  if (i >= size) return;
  size_t head = static_cast<size_t>(blockIdx.z) * a.heads + blockIdx.y;
  const float *decays = a.decays + head * a.chunks;
  float *states = a.states + head * a.chunks * size + i;
  float *dstates = a.dstates + head * a.chunks * size + i;
  float state = a.before == nullptr ? 0.0f : a.before[head * size + i];
  for (int c = 0; c < a.chunks; c++) {
    float state_added = states[c * size];
    states[c * size] = state;
    state = state * decays[c] + state_added;
  }
  float dstate = a.dafter == nullptr ? 0.0f : a.dafter[head * size + i];
  for (int c = a.chunks - 1; c >= 0; c--) {
    float grad_added = dstates[c * size];
    dstates[c * size] = dstate;
    dstate = dstate * decays[c] + grad_added;
  }
  if (a.dbefore != nullptr) a.dbefore[head * size + i] = dstate;
}

/** Sum over the eight lanes that share a token. */
static __device__ __forceinline__ float token_sum(float v) {
#pragma unroll
  for (int lane = 4; lane > 0; lane >>= 1) v += __shfl_xor_sync(ALL_LANES, v, lane);
  return v;
}

/** Gradient of the raw dt: back through limits and softplus. */
static __device__ __forceinline__ float raw_dt_grad(const ScanGradArgs &a, float raw, float d) {
  float unlimited = a.softplus ? softplus(raw) : raw;
  if (a.dt_min > 0.0f && unlimited < a.dt_min) return 0.0f;
  if (unlimited > a.dt_max) return 0.0f;
  return a.softplus ? d / (1.0f + expf(-raw)) : d;
}

/** The gradients of a chunk. Eight threads share a token. Grid (chunks, heads, batch). */
template <int P>
static __device__ __forceinline__ void grad_chunks(const ScanGradArgs &a) {
  constexpr int PITCH = P + 1, EACH = P / 8;
  __shared__ float dts[GRAD_TOKENS], from_start[GRAD_TOKENS], to_end[GRAD_TOKENS];
  __shared__ float over[GRAD_TOKENS], from_state[GRAD_TOKENS], to_state[GRAD_TOKENS];
  __shared__ float ddts[GRAD_TOKENS], scratch[32];
  // Shared memory: x and dy; a slab each of S, G, B and C; L (C . B) and L (dy . dt x).
  SHARED_MEMORY(float, xs);
  float *dys = xs + GRAD_TOKENS * PITCH, *Ss = dys + GRAD_TOKENS * PITCH, *Gs = Ss + P * SLAB_PITCH;
  float *Bs = Gs + P * SLAB_PITCH, *Cs = Bs + GRAD_TOKENS * SLAB_PITCH;
  float *CB = Cs + GRAD_TOKENS * SLAB_PITCH, *pairs = CB + GRAD_TOKENS * SLAB_PITCH;
  GradChunk chunk = grad_chunk(a);
  int t = threadIdx.x / 8, lane = threadIdx.x % 8;
  grad_decays(a, chunk, dts, from_start, to_end);
  stage_channels<P>(a, chunk, xs, dys);

  float products[4] = {}, W[4];  // C[t] . B[j], then W[t][j], for j = lane + 8 k
  for (int n0 = 0; n0 < a.state_size; n0 += SLAB) {
    __syncthreads();
    stage_slab(a, chunk, n0, Bs, Cs);
    __syncthreads();
    for (int n = 0; n < SLAB; n++) {
      float c = Cs[t * SLAB_PITCH + n];
#pragma unroll
      for (int k = 0; k < 4; k++) products[k] += c * Bs[(lane + 8 * k) * SLAB_PITCH + n];
    }
  }
#pragma unroll
  for (int k = 0; k < 4; k++) {
    int j = lane + 8 * k;
    float pair = 0, sum = 0;
    for (int p = 0; p < P; p++) pair += dys[t * PITCH + p] * xs[j * PITCH + p];
    // Summed directly: the difference of two large running sums would lose precision.
    for (int i = j + 1; i <= t; i++) sum += dts[i] * chunk.A;
    float decay = j <= t ? expf(sum) : 0.0f;
    CB[t * SLAB_PITCH + j] = decay * products[k];
    pairs[t * SLAB_PITCH + j] = decay * pair * dts[j];
    W[k] = decay * products[k] * pair * dts[j];
  }
  __syncthreads();

  float within[EACH] = {}, carried[EACH] = {};  // d(dt x)[t][p], for p = lane + 8 k
  for (int i = t; i < chunk.count; i++) {
    float weight = CB[i * SLAB_PITCH + t];
#pragma unroll
    for (int k = 0; k < EACH; k++) within[k] += weight * dys[i * PITCH + lane + 8 * k];
  }

  float q = 0, overlap = 0;  // this thread's parts of q[t] and of G . S
  float dtx = to_end[t] * dts[t];
  for (int n0 = 0; n0 < a.state_size; n0 += SLAB) {
    __syncthreads();
    stage_slab(a, chunk, n0, Bs, Cs);
    const float *S = a.states + chunk.state + n0, *G = a.dstates + chunk.state + n0;
    stage_values<SLAB>(Ss, S, a.state_size, P, a.head_dim, a.state_size - n0);
    stage_values<SLAB>(Gs, G, a.state_size, P, a.head_dim, a.state_size - n0);
    __syncthreads();
    for (int n = 0; n < SLAB; n++) {
      float b = Bs[t * SLAB_PITCH + n];
#pragma unroll
      for (int k = 0; k < EACH; k++) carried[k] += b * Gs[(lane + 8 * k) * SLAB_PITCH + n];
    }
    float dB[4] = {}, dC[4] = {}, dB_carried[4] = {}, dC_carried[4] = {};
    for (int i = 0; i < GRAD_TOKENS; i++) {
      float left = pairs[i * SLAB_PITCH + t], right = pairs[t * SLAB_PITCH + i];
#pragma unroll
      for (int k = 0; k < 4; k++) {
        dB[k] += left * Cs[i * SLAB_PITCH + lane + 8 * k];
        dC[k] += right * Bs[i * SLAB_PITCH + lane + 8 * k];
      }
    }
    for (int p = 0; p < P; p++) {
      float x = xs[t * PITCH + p], dy = dys[t * PITCH + p];
#pragma unroll
      for (int k = 0; k < 4; k++) {
        dB_carried[k] += x * Gs[p * SLAB_PITCH + lane + 8 * k];
        dC_carried[k] += dy * Ss[p * SLAB_PITCH + lane + 8 * k];
      }
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
      int column = lane + 8 * k, n = n0 + column;
      float from_S = from_start[t] * dC_carried[k];
      q += from_S * Cs[t * SLAB_PITCH + column];
      if (t >= chunk.count || n >= a.state_size) continue;
      size_t at = ((chunk.token + t) * a.heads + chunk.h) * a.state_size + n;
      a.dB[at] = dB[k] + dtx * dB_carried[k];
      a.dC[at] = dC[k] + from_S;
    }
    for (int i = threadIdx.x; i < P * SLAB; i += GRAD_BLOCK) {
      int at = i / SLAB * SLAB_PITCH + i % SLAB;
      overlap += Ss[at] * Gs[at];
    }
  }

  float dot_within = 0, dot_carried = 0, D = 0, skip = 0;
#pragma unroll
  for (int k = 0; k < EACH; k++) {
    int p = lane + 8 * k, channel = chunk.h * a.head_dim + p;
    float x = xs[t * PITCH + p], dy = dys[t * PITCH + p];
    carried[k] *= to_end[t];
    dot_within += within[k] * x;
    dot_carried += carried[k] * x;
    skip += dy * x;
    if (t >= chunk.count || p >= a.head_dim) continue;
    if (a.D != nullptr) D = a.D[a.d_per_channel ? channel : chunk.h];
    size_t at = (chunk.token + t) * a.heads * a.head_dim + channel;
    a.dx[at] = (within[k] + carried[k]) * dts[t] + D * dy;
  }
  dot_within = token_sum(dot_within);
  dot_carried = token_sum(dot_carried);
  q = token_sum(q);
  __syncthreads();  // all threads have read B
  float *Ws = Bs, crossing = 0;
#pragma unroll
  for (int k = 0; k < 4; k++) Ws[t * SLAB_PITCH + lane + 8 * k] = W[k];
  __syncthreads();
  for (int i = t + lane; i < chunk.count; i += 8) {
    for (int j = 0; j < t; j++) crossing += Ws[i * SLAB_PITCH + j];
  }
  crossing = token_sum(crossing);
  if (lane == 0) {
    over[t] = crossing;
    from_state[t] = q;
    to_state[t] = dts[t] * dot_carried;
    ddts[t] = dot_within + dot_carried;
  }
  overlap = block_sum(overlap, scratch) * from_start[GRAD_TOKENS - 1];
  skip = block_sum(skip, scratch);

  size_t part = (chunk.b * a.chunks + blockIdx.x) * a.heads + chunk.h;
  if (threadIdx.x < GRAD_TOKENS) {
    int own = threadIdx.x;
    float da = overlap + over[own], bias = 0;
    for (int i = GRAD_TOKENS - 1; i >= own; i--) da += from_state[i];
    for (int j = 0; j < own; j++) da += to_state[j];
    if (own < chunk.count) {
      bias = raw_dt_grad(a, raw_dt(a, chunk, own), da * chunk.A + ddts[own]);
      a.ddt[(chunk.token + own) * a.heads + chunk.h] = bias;
    }
    float dA = warp_sum(da * dts[own]);
    bias = warp_sum(bias);
    if (own == 0) {
      a.dA[part] = dA;
      if (a.ddt_bias != nullptr) a.ddt_bias[part] = bias;
      if (a.dD != nullptr && !a.d_per_channel) a.dD[part] = skip;
    }
  }
  if (a.dD == nullptr || !a.d_per_channel) return;
  for (int p = threadIdx.x; p < a.head_dim; p += GRAD_BLOCK) {
    float sum = 0;
    for (int i = 0; i < chunk.count; i++) sum += dys[i * PITCH + p] * xs[i * PITCH + p];
    a.dD[part * a.head_dim + p] = sum;
  }
}

KERNEL(scan_grad_chunks_64, ScanGradArgs, GRAD_BLOCK) { grad_chunks<64>(a); }
KERNEL(scan_grad_chunks_128, ScanGradArgs, GRAD_BLOCK) { grad_chunks<128>(a); }
