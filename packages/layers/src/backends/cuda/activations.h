// Activations between kernels: f32, or bf16 if the weights around them are rounded too.
//
// Outputs are rounded once. Sums, norm statistics and states are always f32. Memory-bound kernels are
// compiled for both types (name, name_bf16); the others branch on the type once per row or tile.
#pragma once
#include "device.h"

enum Format { F32 = 0, BF16 = 1, F16 = 2, INT8 = 3, INT4 = 4 };

static __device__ __forceinline__ float to_float(float v) { return v; }
static __device__ __forceinline__ float to_float(uint16_t bits) { return from_bf16(bits); }
static __device__ __forceinline__ void assign(float *to, float v) { *to = v; }
static __device__ __forceinline__ void assign(uint16_t *to, float v) { *to = to_bf16(v); }

/** Stores v at index `at` as f32, bf16 or f16. */
static __device__ __forceinline__ void store_value(void *to, int format, size_t at, float v) {
  if (format == F32) static_cast<float *>(to)[at] = v;
  else static_cast<uint16_t *>(to)[at] = format == F16 ? to_f16(v) : to_bf16(v);
}

/** A row of f32 or bf16 values, read as f32. */
struct Row {
  const void *values;
  bool bf16;
  __device__ __forceinline__ float operator[](size_t i) const {
    return bf16 ? from_bf16(static_cast<const uint16_t *>(values)[i])
                : static_cast<const float *>(values)[i];
  }
  /** The row from element i on. */
  __device__ __forceinline__ Row from(size_t i) const {
    return {static_cast<const char *>(values) + i * (bf16 ? 2 : 4), bf16};
  }
  /** Elements i ... i + 7 as bf16, with zeros from `count` on. One 16-byte load if aligned. */
  __device__ __forceinline__ uint4 load8_bf16(int i, int count) const {
    const uint16_t *at = static_cast<const uint16_t *>(values) + i;
    if (bf16 && i + 8 <= count && (reinterpret_cast<size_t>(at) & 15) == 0) {
      return *reinterpret_cast<const uint4 *>(at);
    }
    uint32_t pairs[4];
#pragma unroll
    for (int n = 0; n < 4; n++) {
      int low = i + 2 * n;
      pairs[n] = to_bf16_pair(low < count ? (*this)[low] : 0.0f,
                              low + 1 < count ? (*this)[low + 1] : 0.0f);
    }
    return {pairs[0], pairs[1], pairs[2], pairs[3]};
  }
};
