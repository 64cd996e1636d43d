// Unpacks rows of a packed table, and converts rows to 16 bits.
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
  /** What the rounding to bf16 has left, as bf16. nullptr: not wanted. */
  uint16_t *rest;
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
    if (a.rest == nullptr) continue;
    float rest = v - from_bf16(to_bf16(v));
    // An infinity or a NaN has no rest.
    if (!(fabsf(rest) < INFINITY)) rest = 0.0f;
    a.rest[static_cast<size_t>(blockIdx.x) * a.out_columns + c] = to_bf16(rest);
  }
}
