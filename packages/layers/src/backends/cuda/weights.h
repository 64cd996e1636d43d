// Memory layout of packed weights, and their conversion to f32.
//
// Rows of a matrix are `pitch` bytes apart, and their columns are padded with zeros. Values are f32,
// bf16 or f16, or quantized to 8 or 4 bits with the first in the lowest bits (MLX's order). Quantized
// weights have one parameter word per row and group: the scale in its lower half, the offset in its
// upper half.
#pragma once
#include "activations.h"

/** Number of columns in 16 bytes, and whether values are quantized. */
template <int FORMAT>
struct Chunk {
  static constexpr int columns = FORMAT == F32 ? 4 : FORMAT == INT8 ? 16 : FORMAT == INT4 ? 32 : 8;
  static constexpr bool affine = FORMAT == INT8 || FORMAT == INT4;
};

/** Number of quantization levels of a format: 256 or 16. */
template <int FORMAT>
struct Levels {
  static constexpr float count = FORMAT == INT8 ? 256.0f : 16.0f;
};

/** 1 + q / levels for a quantized value q whose bits are shifted to the top of the mantissa. */
static __device__ __forceinline__ float one_plus(uint32_t mantissa) {
  return __uint_as_float(0x3f800000u | mantissa);
}

/** Converts an integer q below 2^23 to f32: the bits of 2^23 + q, minus 2^23. */
static __device__ __forceinline__ float quantized_to_float(uint32_t q) {
  return __uint_as_float(0x4b000000u | q) - 8388608.0f;
}

/**
 * Values 4 s ... 4 s + 3 of a chunk. Quantized values q are returned as 1 + q / levels, which takes two
 * instructions. The caller corrects the sum of x (1 + q / levels) once per group.
 */
template <int FORMAT>
static __device__ __forceinline__ float4 unpack4(const uint4 &chunk, int s) {
  const uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
  if (FORMAT == F32) {
    return make_float4(__uint_as_float(chunk.x), __uint_as_float(chunk.y),
                       __uint_as_float(chunk.z), __uint_as_float(chunk.w));
  }
  if (FORMAT == BF16) {
    uint32_t a = words[2 * s], b = words[2 * s + 1];
    return make_float4(__uint_as_float(a << 16), __uint_as_float(a & 0xffff0000u),
                       __uint_as_float(b << 16), __uint_as_float(b & 0xffff0000u));
  }
  if (FORMAT == F16) {
    uint32_t a = words[2 * s], b = words[2 * s + 1];
    return make_float4(from_f16(static_cast<uint16_t>(a)), from_f16(static_cast<uint16_t>(a >> 16)),
                       from_f16(static_cast<uint16_t>(b)), from_f16(static_cast<uint16_t>(b >> 16)));
  }
  if (FORMAT == INT8) {
    uint32_t w = words[s];
    return make_float4(one_plus(w << 15 & 0x7f8000u), one_plus(w << 7 & 0x7f8000u),
                       one_plus(w >> 1 & 0x7f8000u), one_plus(w >> 9 & 0x7f8000u));
  }
  uint32_t w = words[s >> 1];
  if ((s & 1) == 0) {
    return make_float4(one_plus(w << 19 & 0x780000u), one_plus(w << 15 & 0x780000u),
                       one_plus(w << 11 & 0x780000u), one_plus(w << 7 & 0x780000u));
  }
  return make_float4(one_plus(w << 3 & 0x780000u), one_plus(w >> 1 & 0x780000u),
                     one_plus(w >> 5 & 0x780000u), one_plus(w >> 9 & 0x780000u));
}

/** The scale (x) and offset (y) of a parameter word. */
static __device__ __forceinline__ float2 parameters(uint32_t word, int f16) {
  float2 result;
  uint16_t low = static_cast<uint16_t>(word), high = static_cast<uint16_t>(word >> 16);
  result.x = f16 ? from_f16(low) : from_bf16(low);
  result.y = f16 ? from_f16(high) : from_bf16(high);
  return result;
}

/** The value in a column of a row, dequantized. */
static __device__ __forceinline__ float load_value(const char *row, int format, int column,
                                                   const uint32_t *params, int group, int f16) {
  if (format == F32) return reinterpret_cast<const float *>(row)[column];
  if (format == BF16) return from_bf16(reinterpret_cast<const uint16_t *>(row)[column]);
  if (format == F16) return from_f16(reinterpret_cast<const uint16_t *>(row)[column]);
  uint8_t byte = static_cast<uint8_t>(row[format == INT8 ? column : column >> 1]);
  uint32_t q = format == INT8 ? byte : (byte >> (4 * (column & 1))) & 15u;
  float2 p = parameters(params[column / group], f16);
  return quantized_to_float(q) * p.x + p.y;
}
