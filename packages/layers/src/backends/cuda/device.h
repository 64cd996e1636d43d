// Definitions shared by all kernels: CUDA's intrinsics under nvcc, the emulation's under a host compiler.
//
// A kernel has one argument: a struct of pointers, then 32-bit integers, then floats. launch() of
// runtime.ts passes them in the same order.
//
// With programmatic dependent launch a kernel can start before the previous one has ended. KERNEL
// waits for the previous kernel first; the body of an EAGER_KERNEL decides where to wait.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define EAGER_KERNEL(name, Args, threads) \
  extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Args a)
#define KERNEL(name, Args, threads)                             \
  static __device__ __forceinline__ void name##_body(const Args &a); \
  EAGER_KERNEL(name, Args, threads) {                           \
    wait_for_previous_kernels();                                \
    name##_body(a);                                             \
  }                                                             \
  static __device__ __forceinline__ void name##_body(const Args &a)

/** Waits until all earlier kernels have ended and their writes are visible. No-op before Hopper. */
static __device__ __forceinline__ void wait_for_previous_kernels() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/** Allows the next kernel's blocks to start. They wait in wait_for_previous_kernels(). */
static __device__ __forceinline__ void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
/** Prefetches the 128-byte line of an address into the L2 cache. */
static __device__ __forceinline__ void prefetch(const void *global) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(global));
}
/** Dynamic shared memory of the block. The launch sets its size. */
extern __shared__ float4 dynamic_shared[];
#define SHARED_MEMORY(T, name) T *name = reinterpret_cast<T *>(dynamic_shared)

static __device__ __forceinline__ float from_f16(uint16_t bits) {
  float value;
  asm("{ .reg .f16 h; mov.b16 h, %1; cvt.f32.f16 %0, h; }" : "=f"(value) : "h"(bits));
  return value;
}
static __device__ __forceinline__ uint16_t to_f16(float value) {
  uint16_t bits;
  asm("{ .reg .f16 h; cvt.rn.f16.f32 h, %1; mov.b16 %0, h; }" : "=h"(bits) : "f"(value));
  return bits;
}
/** Copies 16 bytes from global to shared memory asynchronously (cp.async); zeros if not valid. */
static __device__ __forceinline__ void copy_async(void *shared, const void *global, bool valid) {
  unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  int bytes = valid ? 16 : 0;  // the hardware fills the rest with zeros
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes));
}
static __device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;"); }
/** Waits until at most N committed groups are pending. */
template <int N>
static __device__ __forceinline__ void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N));
}
/** Loads four 8x8 matrices of 16-bit values. Each lane passes the address of one row. */
static __device__ __forceinline__ void load_matrix(uint32_t (&r)[4], const void *row) {
  unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from));
}
/** Like load_matrix, with each of the four matrices transposed. */
static __device__ __forceinline__ void load_transposed(uint32_t (&r)[4], const void *row) {
  unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from));
}
/** c += a b, with a 16x16 and b 16x8 in bf16 or f16, and c in f32. */
template <bool F16>
static __device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                           uint32_t b1) {
  if (F16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}
#else
#include "emulation/emulation.h"
#endif

#define ALL_LANES 0xffffffffu

enum Activation { LINEAR = 0, SILU = 1, GELU = 2, RELU2 = 3 };

static __device__ __forceinline__ float silu(float x) { return x / (1.0f + expf(-x)); }

static __device__ __forceinline__ float activate(float x, int activation) {
  if (activation == SILU) return silu(x);
  if (activation == GELU) return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
  if (activation == RELU2) return x <= 0.0f ? 0.0f : x * x;
  return x;
}

/** The derivative of silu. */
static __device__ __forceinline__ float silu_grad(float x) {
  float s = 1.0f / (1.0f + expf(-x));
  return s * (1.0f + x * (1.0f - s));
}

/** The derivative of activate(x) with respect to x. */
static __device__ __forceinline__ float activate_grad(float x, int activation) {
  if (activation == SILU) return silu_grad(x);
  if (activation == RELU2) return x > 0.0f ? 2.0f * x : 0.0f;
  if (activation != GELU) return 1.0f;
  float density = 0.39894228040143268f * expf(-0.5f * x * x);
  return 0.5f * (1.0f + erff(x * 0.70710678118654752f)) + x * density;
}

/** log(1 + exp(x)). Above 20 it equals x in f32. */
static __device__ __forceinline__ float softplus(float x) {
  return x > 20.0f ? x : log1pf(expf(x));
}

static __device__ __forceinline__ float from_bf16(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}
/** Rounds to nearest even. A NaN stays a NaN. */
static __device__ __forceinline__ uint16_t to_bf16(float value) {
  uint32_t bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/** Packs two values as bf16 into a word, the first in its lower half. */
static __device__ __forceinline__ uint32_t to_bf16_pair(float low, float high) {
#if __CUDA_ARCH__ >= 800
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return to_bf16(low) | static_cast<uint32_t>(to_bf16(high)) << 16;
#endif
}

static __device__ __forceinline__ float warp_sum(float v) {
  for (int lane = 16; lane > 0; lane >>= 1) v += __shfl_xor_sync(ALL_LANES, v, lane);
  return v;
}
static __device__ __forceinline__ float warp_max(float v) {
  for (int lane = 16; lane > 0; lane >>= 1) v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, lane));
  return v;
}

/** Inclusive prefix sum over the lanes of a warp. */
template <typename T>
static __device__ __forceinline__ T warp_running_sum(T v) {
  int lane = threadIdx.x & 31;
  for (int by = 1; by < 32; by <<= 1) {
    T below = __shfl_up_sync(ALL_LANES, v, by);
    if (lane >= by) v += below;
  }
  return v;
}

/** The sum over the block, returned to every thread. The block is whole warps; `scratch` has 32 values. */
static __device__ __forceinline__ float block_sum(float v, float *scratch) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  v = warp_sum(v);
  if (lane == 0) scratch[warp] = v;
  __syncthreads();
  v = warp_sum(lane < warps ? scratch[lane] : 0.0f);
  __syncthreads();
  return v;
}
static __device__ __forceinline__ float block_max(float v, float *scratch) {
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  v = warp_max(v);
  if (lane == 0) scratch[warp] = v;
  __syncthreads();
  v = warp_max(lane < warps ? scratch[lane] : -INFINITY);
  __syncthreads();
  return v;
}
