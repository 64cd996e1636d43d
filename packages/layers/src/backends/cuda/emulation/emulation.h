// CUDA on the host: the part of the language that the kernels use, so that they compile unchanged.
//
// Blocks run one after the other. The threads of a block are fibers that switch at barriers. A warp
// operation writes a value to the lane's slot, waits for the other lanes, and reads their slots. A
// barrier that some threads never reach is reported as an error.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __shared__ static

struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };
struct alignas(8) uint2 { uint32_t x, y; };
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct Index { unsigned x, y, z; };

namespace emulation {
enum Waiting : int { RUNNING, AT_WARP, AT_BLOCK, DONE };
struct Thread {
  Index index;
  Waiting waiting;
  int lane, warp;
  unsigned phase;  // which of the warp's two sets of slots the next operation uses
  void *stack_pointer;
};
struct Slots {
  uint64_t value[2][32][4];
  float products[2][16][8];  // of mma
};

extern Thread *current;
extern Slots *slots;  // one per warp
extern Index block_index, block_size, grid_size;
extern char *shared;

/** Waits until all live threads of the warp, or of the block, have reached the barrier. */
void wait_for(Waiting where);

struct Kernel {
  const char *name;
  void (*run)(const void *);
  size_t argument_bytes;
  int threads;  // maximum number of threads per block
};
void define_kernel(const Kernel &kernel);
const Kernel *find_kernel(const char *name);

struct Launch {
  const Kernel *kernel;
  Index grid, block;
  unsigned shared_bytes;
  const void *arguments;
};
/** Runs a kernel. Returns an error message, or null. */
const char *run(const Launch &launch);

struct Definition {
  Definition(const char *name, void (*run)(const void *), size_t bytes, int threads) {
    define_kernel({name, run, bytes, threads});
  }
};

/** Shares `value` with the lanes of the warp. Returns the values of all lanes. */
template <typename T>
inline auto exchange(const T &value) -> uint64_t (*)[4] {
  static_assert(sizeof(T) <= 32, "a slot has 32 bytes");
  auto *set = slots[current->warp].value[current->phase++ & 1];
  std::memcpy(set[current->lane], &value, sizeof(T));
  wait_for(AT_WARP);
  return set;
}
template <typename T>
inline T from_slot(const uint64_t (&slot)[4]) {
  T value;
  std::memcpy(&value, slot, sizeof(T));
  return value;
}
}  // namespace emulation

#define threadIdx (emulation::current->index)
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

#define KERNEL(name, Args, threads)                                                    \
  static void name##_kernel(const Args &a);                                            \
  static emulation::Definition name##_definition(                                      \
      #name, [](const void *p) { name##_kernel(*static_cast<const Args *>(p)); },      \
      sizeof(Args), threads);                                                          \
  static void name##_kernel(const Args &a)
#define EAGER_KERNEL KERNEL
#define SHARED_MEMORY(T, name) T *name = reinterpret_cast<T *>(emulation::shared)

// Kernels run one after the other, and there is no cache to fill.
static inline void wait_for_previous_kernels() {}
static inline void launch_dependents() {}
static inline void prefetch(const void *) {}

static inline void __syncthreads() { emulation::wait_for(emulation::AT_BLOCK); }
static inline void __syncwarp(unsigned = 0xffffffffu) { emulation::wait_for(emulation::AT_WARP); }

template <typename T>
static inline T __shfl_xor_sync(unsigned, T value, int mask) {
  int from = emulation::current->lane ^ mask;
  return emulation::from_slot<T>(emulation::exchange(value)[from]);
}
template <typename T>
static inline T __shfl_sync(unsigned, T value, int lane) {
  return emulation::from_slot<T>(emulation::exchange(value)[lane & 31]);
}
template <typename T>
static inline T __shfl_up_sync(unsigned, T value, int by) {
  int lane = emulation::current->lane;
  return emulation::from_slot<T>(emulation::exchange(value)[lane < by ? lane : lane - by]);
}
static inline unsigned __ballot_sync(unsigned, bool set) {
  auto *lanes = emulation::exchange<int>(set);
  unsigned bits = 0;
  for (int i = 0; i < 32; i++) bits |= emulation::from_slot<int>(lanes[i]) ? 1u << i : 0;
  return bits;
}

static inline uint32_t __float_as_uint(float v) { uint32_t b; std::memcpy(&b, &v, 4); return b; }
static inline float __uint_as_float(uint32_t b) { float v; std::memcpy(&v, &b, 4); return v; }
static inline float rsqrtf(float v) { return 1.0f / sqrtf(v); }
template <typename T> static inline T __ldg(const T *p) { return *p; }
// The flags of this build fuse no products and sums.
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
template <typename T> static inline T min(T a, T b) { return a < b ? a : b; }
template <typename T> static inline T max(T a, T b) { return a > b ? a : b; }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
template <typename T> static inline T atomicAdd(T *p, T v) { T old = *p; *p += v; return old; }
static inline int __ffs(unsigned v) { return __builtin_ffs(static_cast<int>(v)); }

/** Converts f16 to f32. */
static inline float from_f16(uint16_t bits) {
  uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  // The factor corrects the exponent's bias, also for subnormal values.
  float scaled = __uint_as_float(magnitude << 13) * 0x1p112f;
  return __uint_as_float(sign | __float_as_uint(scaled));
}
/** Converts f32 to f16, rounding to nearest even. */
static inline uint16_t to_f16(float value) {
  uint32_t bits = __float_as_uint(value), sign = (bits >> 16) & 0x8000u;
  float magnitude = __uint_as_float(bits & 0x7fffffffu);
  if (!(magnitude == magnitude)) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 65520.0f) return static_cast<uint16_t>(sign | 0x7c00u);
  // Rounds to a multiple of the f16 unit in the last place.
  int exponent = magnitude < 0x1p-14f ? -14 : static_cast<int>(__float_as_uint(magnitude) >> 23) - 127;
  float ulp = ldexpf(1.0f, exponent - 10);
  float rounded = nearbyintf(magnitude / ulp);
  uint32_t encoded = exponent == -14 ? static_cast<uint32_t>(rounded)
                                     : (static_cast<uint32_t>(exponent + 14) << 10) +
                                           static_cast<uint32_t>(rounded);
  return static_cast<uint16_t>(sign | encoded);
}

static inline void copy_async(void *to, const void *from, bool valid) {
  if (valid) std::memcpy(to, from, 16);
  else std::memset(to, 0, 16);
}
static inline void copy_commit() {}
template <int N> static inline void copy_wait() {}

static inline void load_matrix(uint32_t (&r)[4], const void *row) {
  auto *rows = emulation::exchange(row);
  int lane = emulation::current->lane;
  for (int i = 0; i < 4; i++) {
    auto *from = emulation::from_slot<const char *>(rows[i * 8 + lane / 4]);
    std::memcpy(&r[i], from + (lane % 4) * 4, 4);
  }
}

static inline void load_transposed(uint32_t (&r)[4], const void *row) {
  auto *rows = emulation::exchange(row);
  int lane = emulation::current->lane;
  for (int i = 0; i < 4; i++) {
    uint16_t pair[2];
    for (int k = 0; k < 2; k++) {
      auto *from = emulation::from_slot<const char *>(rows[i * 8 + (lane % 4) * 2 + k]);
      std::memcpy(&pair[k], from + (lane / 4) * 2, 2);
    }
    r[i] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
}

template <bool F16>
static inline float half_of(uint32_t pair, int i) {
  uint16_t bits = static_cast<uint16_t>(pair >> (16 * i));
  return F16 ? from_f16(bits) : __uint_as_float(static_cast<uint32_t>(bits) << 16);
}
/** Adds the product of a (16, 16) and a (16, 8) matrix that the lanes of the warp share. */
template <bool F16>
static inline void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Fragment { uint32_t a[4], b[2]; } mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
  auto *lanes = emulation::exchange(mine);
  int lane = emulation::current->lane, set = (emulation::current->phase - 1) & 1;
  auto &products = emulation::slots[emulation::current->warp].products[set];
  if (lane == 0) {  // lane 0 goes on first, and multiplies for the whole warp
    float x[16][16], w[16][8];
    for (int i = 0; i < 32; i++) {
      auto from = emulation::from_slot<Fragment>(lanes[i]);
      for (int k = 0; k < 2; k++) {
        int column = (i % 4) * 2 + k;
        for (int part = 0; part < 4; part++) {
          x[i / 4 + 8 * (part % 2)][column + 8 * (part / 2)] = half_of<F16>(from.a[part], k);
        }
        for (int part = 0; part < 2; part++) w[column + 8 * part][i / 4] = half_of<F16>(from.b[part], k);
      }
    }
    for (int m = 0; m < 16; m++) {
      float sums[8] = {};
      for (int k = 0; k < 16; k++) {
        for (int n = 0; n < 8; n++) sums[n] += x[m][k] * w[k][n];
      }
      std::memcpy(products[m], sums, sizeof sums);
    }
  }
  for (int i = 0; i < 4; i++) c[i] += products[lane / 4 + 8 * (i / 2)][(lane % 4) * 2 + i % 2];
}
