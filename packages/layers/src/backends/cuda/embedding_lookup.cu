// Unpacks rows of a packed table, converts rows to 16 bits, and packs rows.
#include "weights.h"

struct UnpackArgs {
  const char *table;
  const uint32_t *params;
  const int *ids;
  void *out;
  int pitch, rows, columns, out_columns, format, group, groups, f16_params, first, out_format;
};

/**
 * Output row blockIdx.x is row ids[blockIdx.x] of the table, or row first + blockIdx.x without ids.
 * Grid (rows). An id outside the table gives NaN. Columns beyond the table's are 0.
 */
KERNEL(unpack_rows, UnpackArgs, 256) {
  size_t at = blockIdx.x;
  int id = a.ids == nullptr ? a.first + static_cast<int>(blockIdx.x) : a.ids[at];
  bool known = id >= 0 && id < a.rows;
  size_t row = known ? id : 0;
  const char *values = a.table + row * a.pitch;
  const uint32_t *params = a.params + row * a.groups;
  for (int c = threadIdx.x; c < a.out_columns; c += blockDim.x) {
    float v = c < a.columns ? load_value(values, a.format, c, params, a.group, a.f16_params) : 0.0f;
    if (!known) v = NAN;
    store_value(a.out, a.out_format, at * a.out_columns + c, v);
  }
}

struct NarrowArgs {
  const void *x;
  uint16_t *out;
  int x_stride, columns, out_columns, format, out_format;
};

/** Converts rows of f32, bf16 or f16 to bf16 or f16, padded with zeros. Grid (rows). */
KERNEL(narrow_rows, NarrowArgs, 256) {
  size_t x = static_cast<size_t>(blockIdx.x) * a.x_stride * (a.format == F32 ? 4 : 2);
  const char *row = static_cast<const char *>(a.x) + x;
  uint16_t *out = a.out + static_cast<size_t>(blockIdx.x) * a.out_columns;
  for (int c = threadIdx.x; c < a.out_columns; c += blockDim.x) {
    float v = c < a.columns ? load_value(row, a.format, c, nullptr, 1, 0) : 0.0f;
    store_value(out, a.out_format, c, v);
  }
}

struct PackArgs {
  const void *source;
  char *out;
  uint32_t *params;
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
  float offset = from_bf16(offset_bits);
  uint16_t scale_bits = to_bf16((largest - offset) / max_level);
  float scale = from_bf16(scale_bits);
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
