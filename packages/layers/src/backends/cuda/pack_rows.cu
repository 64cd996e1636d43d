// Packs rows of numbers as weights: in another float format, or quantized.
#include "weights.h"

struct PackArgs {
  const void *source;
  char *out;
  uint32_t *params;
  /** Of the columns' squared errors in int4. nullptr: all are 1. */
  const float *weights;
  int columns, pitch, source_format, format, group, groups;
};

/** Packs rows of f32, bf16 or f16 in another float format, padded with zeros. Grid (rows). */
KERNEL(pack_float, PackArgs, 256) {
  int bytes = a.source_format == F32 ? 4 : 2, out_bytes = a.format == F32 ? 4 : 2;
  const char *row = static_cast<const char *>(a.source) +
                    static_cast<size_t>(blockIdx.x) * a.columns * bytes;
  char *out = a.out + static_cast<size_t>(blockIdx.x) * a.pitch;
  for (int c = threadIdx.x; c < a.pitch / out_bytes; c += blockDim.x) {
    float v = c < a.columns ? load_value(row, a.source_format, c, nullptr, 1, 0) : 0.0f;
    if (a.format == F32) reinterpret_cast<float *>(out)[c] = v;
    else reinterpret_cast<uint16_t *>(out)[c] = a.format == F16 ? to_f16(v) : to_bf16(v);
  }
}

/** A group of one row that is quantized to 4 bits. */
struct Group {
  const char *row;
  int format, first, count;
  /** nullptr: all are 1. */
  const float *weights;

  __device__ __forceinline__ float operator[](int i) const {
    return load_value(row, format, first + i, nullptr, 1, 0);
  }
};

/** Weighted sums of a group with a scale and an offset. */
struct Attempt {
  float error, weights, values, codes, squares, products;
};

struct Fit {
  uint32_t parameters;
  float error;
};

static __device__ __forceinline__ float total(const float (&v)[4]) {
  return v[0] + v[1] + (v[2] + v[3]);
}

/** a b + c, the product rounded: the other backends quantize to the same bytes. */
static __device__ __forceinline__ float rounded_madd(float a, float b, float c) {
  return __fadd_rn(__fmul_rn(a, b), c);
}

/** `parameters`: the scale above the offset, as bits. */
static __device__ Attempt attempt(const Group &group, uint32_t parameters) {
  float scale = from_bf16(static_cast<uint16_t>(parameters >> 16));
  float offset = from_bf16(static_cast<uint16_t>(parameters));
  float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  float errors[4] = {}, weights[4] = {}, values[4] = {}, codes[4] = {}, squares[4] = {},
        products[4] = {};
  for (int i = 0; i < group.count; i += 4) {
#pragma unroll
    for (int lane = 0; lane < 4; lane++) {
      // The last value is repeated, so that the range does not change.
      bool in = i + lane < group.count;
      float v = group[in ? i + lane : group.count - 1];
      float w = group.weights == nullptr ? 1.0f : in ? group.weights[i + lane] : 0.0f;
      float code = fminf(fmaxf(rintf((v - offset) * inverse), 0.0f), 15.0f);
      float difference = __fadd_rn(rounded_madd(code, scale, offset), -v);
      float weighted = __fmul_rn(w, code);
      errors[lane] = rounded_madd(__fmul_rn(w, difference), difference, errors[lane]);
      weights[lane] += w;
      values[lane] = rounded_madd(w, v, values[lane]);
      codes[lane] += weighted;
      squares[lane] = rounded_madd(weighted, code, squares[lane]);
      products[lane] = rounded_madd(weighted, v, products[lane]);
    }
  }
  return {total(errors), total(weights),  total(values),
          total(codes),  total(squares), total(products)};
}

/** a b - c d, the products rounded. */
static __device__ __forceinline__ float difference_of_products(float a, float b, float c, float d) {
  return __fadd_rn(__fmul_rn(a, b), -__fmul_rn(c, d));
}

/** Alternates rounding and least-squares fitting while the error decreases. */
static __device__ void regress(const Group &group, uint32_t parameters, Fit &best) {
  float error = INFINITY;
  for (int i = 0; i <= 2; i++) {
    Attempt sums = attempt(group, parameters);
    if (i > 0 && !(sums.error < error)) return;
    error = sums.error;
    if (error < best.error) best = {parameters, error};
    float spread = difference_of_products(sums.weights, sums.squares, sums.codes, sums.codes);
    if (spread == 0.0f) return;
    uint16_t scale = to_bf16(
        difference_of_products(sums.weights, sums.products, sums.codes, sums.values) / spread);
    uint16_t offset = to_bf16(
        difference_of_products(1.0f, sums.values, from_bf16(scale), sums.codes) / sums.weights);
    parameters = static_cast<uint32_t>(scale) << 16 | offset;
  }
}

/** Scale and offset of the least squared error. See fittest of the simd kernels' pack_group.ts. */
static __device__ uint32_t fittest(Group group, uint32_t ends) {
  bool weighted = false;
  for (int i = 0; group.weights != nullptr && i < group.count; i++) {
    weighted = weighted || group.weights[i] != 1.0f;
  }
  if (!weighted) group.weights = nullptr;
  Fit best = {ends, INFINITY};
  regress(group, ends, best);
  uint32_t grid = best.parameters;
  float step = from_bf16(static_cast<uint16_t>(grid >> 16));
  for (int shift = -3; shift <= 3; shift++) {
    if (shift == 0 || (!weighted && abs(shift) != 2)) continue;
    float offset = rounded_madd(shift / 6.0f, step, from_bf16(static_cast<uint16_t>(grid)));
    regress(group, (grid & 0xffff0000u) | to_bf16(offset), best);
  }
  return best.parameters;
}

/**
 * Quantizes rows with bf16 scales and offsets: value = quantized * scale + offset. One thread per group:
 * grid (rows, groups / threads).
 */
KERNEL(pack_int, PackArgs, 128) {
  int g = blockIdx.y * blockDim.x + threadIdx.x;
  if (g >= a.groups) return;
  int bytes = a.source_format == F32 ? 4 : 2, first = g * a.group;
  int count = min(a.group, a.columns - first);
  const char *row = static_cast<const char *>(a.source) +
                    static_cast<size_t>(blockIdx.x) * a.columns * bytes;
  float smallest = INFINITY, largest = -INFINITY;
  for (int i = 0; i < count; i++) {
    float v = load_value(row, a.source_format, first + i, nullptr, 1, 0);
    smallest = v < smallest ? v : smallest;
    largest = v > largest ? v : largest;
  }
  float max_level = a.format == INT8 ? 255.0f : 15.0f;
  uint16_t offset_bits = to_bf16(smallest);
  uint16_t scale_bits = to_bf16((largest - from_bf16(offset_bits)) / max_level);
  if (a.format == INT4) {
    const float *weights = a.weights == nullptr ? nullptr : a.weights + first;
    uint32_t ends = static_cast<uint32_t>(scale_bits) << 16 | offset_bits;
    uint32_t found = fittest({row, a.source_format, first, count, weights}, ends);
    scale_bits = static_cast<uint16_t>(found >> 16);
    offset_bits = static_cast<uint16_t>(found);
  }
  float offset = from_bf16(offset_bits), scale = from_bf16(scale_bits);
  float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  a.params[static_cast<size_t>(blockIdx.x) * a.groups + g] =
      scale_bits | static_cast<uint32_t>(offset_bits) << 16;
  uint8_t *out = reinterpret_cast<uint8_t *>(a.out) + static_cast<size_t>(blockIdx.x) * a.pitch;
  for (int i = 0; i < a.group; i += 2) {
    uint32_t quantized[2];
    for (int j = 0; j < 2; j++) {
      int c = first + i + j;
      float v = i + j < count ? load_value(row, a.source_format, c, nullptr, 1, 0) : offset;
      float level = rintf((v - offset) * inverse);
      quantized[j] = static_cast<uint32_t>(fminf(fmaxf(level, 0.0f), max_level));
    }
    if (a.format == INT8) {
      out[first + i] = static_cast<uint8_t>(quantized[0]);
      out[first + i + 1] = static_cast<uint8_t>(quantized[1]);
    } else {
      out[(first + i) >> 1] = static_cast<uint8_t>(quantized[0] | quantized[1] << 4);
    }
  }
}
