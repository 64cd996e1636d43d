// Packs weights into panels and unpacks them: from rows of values, and from MLX's packed integers.
import { signFlip } from '../matmul/byte_dots';
import { BF16_COLUMN } from '../matmul/common';
import { int, ptr } from '../shared/arguments';
import { fromBf16, fromF16, toBf16 } from '../shared/halves';
import { PackFloatArg, PackIntArg, RepackArg, UnpackArg } from './args';
import { packGroup, placeInt4, placeInt8 } from './pack_group';

/** Value i of an array of NumberKind `kind`. */
function numberAt(p: usize, i: usize, kind: i32): f32 {
  if (kind === 0) return load<f32>(p + (i << 2));
  const half = load<u16>(p + (i << 1));
  return kind === 1 ? fromF16(half) : fromBf16(half);
}

function bytesOf(kind: i32): usize {
  return kind === 0 ? 4 : 2;
}

/** Offset of row r (of 32) in a bf16 panel, in bytes; the column stride is BF16_COLUMN. */
function placeBf16(r: usize, columns: usize): usize {
  const half = (r >> 4) * columns * BF16_COLUMN;
  return half + (((r & 8) + ((r & 3) << 1) + ((r >> 2) & 1)) << 1);
}

function panelBytes(groups: usize, group: usize, bits: i32): usize {
  return groups * (group * <usize>bits + 32);
}

/** A unit is a panel of 8 rows. */
export function packInt(args: usize, begin: i32, end: i32, scratch: usize): void {
  const kind = int(args, PackIntArg.kind);
  const rows = int(args, PackIntArg.rows);
  const columns = ptr(args, PackIntArg.columns);
  const group = ptr(args, PackIntArg.group);
  const bits = int(args, PackIntArg.bits);
  const groups = (columns + group - 1) / group;
  const stride = panelBytes(groups, group, bits);
  const groupBytes = group * <usize>bits + 32;
  const weights = ptr(args, PackIntArg.weights);
  for (let panel = begin; panel < end; panel++) {
    const out = ptr(args, PackIntArg.panels) + <usize>panel * stride;
    memory.fill(out, 0, stride);
    for (let r: i32 = 0; r < 8; r++) {
      const row = (panel << 3) + r;
      if (row >= rows) break;
      const from = ptr(args, PackIntArg.source) + <usize>row * columns * bytesOf(kind);
      for (let g: usize = 0; g < groups; g++) {
        const count = min(group, columns - g * group);
        widen(from, g * group, count, kind, scratch);
        const own = groupWeights(weights, g * group, count);
        packGroup(scratch, count, group, bits, out + g * groupBytes, <usize>r, own);
      }
    }
  }
}

/** The weights of a group's columns; 0 if all are 1. */
function groupWeights(weights: usize, first: usize, count: usize): usize {
  if (weights === 0) return 0;
  const own = weights + (first << 2);
  for (let i: usize = 0; i < count; i++) {
    if (load<f32>(own + (i << 2)) !== 1) return own;
  }
  return 0;
}

/** Values first ... first + count of an array as f32. */
function widen(p: usize, first: usize, count: usize, kind: i32, to: usize): void {
  let i: usize = 0;
  if (kind === 0) {
    memory.copy(to, p + (first << 2), count << 2);
    return;
  }
  if (kind === 2) {
    for (; i + 4 <= count; i += 4) {
      const halves = v128.load_ext<u16>(p + ((first + i) << 1));
      v128.store(to + (i << 2), i32x4.shl(halves, 16));
    }
  }
  for (; i < count; i++) store<f32>(to + (i << 2), numberAt(p, first + i, kind));
}

/** A unit is 32 rows. */
export function packFloat(args: usize, begin: i32, end: i32): void {
  const kind = int(args, PackFloatArg.kind);
  const rows = int(args, PackFloatArg.rows);
  const columns = ptr(args, PackFloatArg.columns);
  const toF32 = int(args, PackFloatArg.panelKind) === 0;
  const panelColumn: usize = toF32 ? 128 : 2 * BF16_COLUMN;
  const step: usize = toF32 ? 128 : BF16_COLUMN;
  for (let panel = begin; panel < end; panel++) {
    const out = ptr(args, PackFloatArg.panels) + <usize>panel * columns * panelColumn;
    // A few columns of all rows at a time, so that the output stays in the cache.
    for (let k0: usize = 0; k0 < columns; k0 += 64) {
      const k1 = min(k0 + 64, columns);
      for (let r: usize = 0; r < 32; r++) {
        const row = ((<usize>panel) << 5) + r;
        const missing = <i32>row >= rows;
        const from = ptr(args, PackFloatArg.source) + row * columns * bytesOf(kind);
        const at = toF32 ? r << 2 : placeBf16(r, columns);
        for (let k = k0; k < k1; k++) {
          const to = out + k * step + at;
          if (missing) {
            if (toF32) store<f32>(to, 0);
            else store<u16>(to, 0);
          } else if (toF32) {
            store<f32>(to, numberAt(from, k, kind));
          } else if (kind === 2) {
            store<u16>(to, load<u16>(from + (k << 1)));
          } else {
            store<u16>(to, toBf16(numberAt(from, k, kind)));
          }
        }
      }
    }
  }
}

/**
 * Converts between MLX's layout (quantised values in 32-bit words; scales and offsets separate) and panels.
 * A unit is a panel.
 */
export function repackInt(args: usize, begin: i32, end: i32): void {
  const rows = int(args, RepackArg.rows);
  const columns = ptr(args, RepackArg.columns);
  const fileGroup = ptr(args, RepackArg.fileGroup);
  const group = ptr(args, RepackArg.group);
  const bits = int(args, RepackArg.bits);
  const exporting = int(args, RepackArg.exporting) !== 0;
  const groups = columns / group;
  const fileGroups = columns / fileGroup;
  const stride = panelBytes(groups, group, bits);
  const groupBytes = group * <usize>bits + 32;
  const rowBytes = (columns * <usize>bits) >> 3;
  for (let panel = begin; panel < end; panel++) {
    const panelAt = ptr(args, RepackArg.panels) + <usize>panel * stride;
    if (!exporting) memory.fill(panelAt, 0, stride);
    for (let r: usize = 0; r < 8; r++) {
      const row = ((<usize>panel) << 3) + r;
      if (<i32>row >= rows) break;
      const quantized = ptr(args, RepackArg.values) + row * rowBytes;
      for (let g: usize = 0; g < groups; g++) {
        const at = panelAt + g * groupBytes;
        const parameters = at + group * <usize>bits + (r << 1);
        const fileAt = (row * fileGroups + (g * group) / fileGroup) << 1;
        if (exporting) {
          store<u16>(ptr(args, RepackArg.scales) + fileAt, load<u16>(parameters));
          store<u16>(ptr(args, RepackArg.offsets) + fileAt, load<u16>(parameters, 16));
        } else {
          store<u16>(parameters, load<u16>(ptr(args, RepackArg.scales) + fileAt));
          store<u16>(parameters, load<u16>(ptr(args, RepackArg.offsets) + fileAt), 16);
        }
        if (bits === 8) moveInt8(quantized + g * group, at, group, r, exporting);
        else moveInt4(quantized + ((g * group) >> 1), at, group, r, exporting);
      }
    }
  }
}

function moveInt8(quantized: usize, at: usize, group: usize, r: usize, exporting: bool): void {
  const flip = signFlip();
  for (let k: usize = 0; k < group; k += 4) {
    const place = at + placeInt8(r, k);
    if (exporting) store<u32>(quantized + k, load<u32>(place) ^ flip);
    else store<u32>(place, load<u32>(quantized + k) ^ flip);
  }
}

/** A word of the file holds columns 0 ... 7 from its low bits up. */
function moveInt4(quantized: usize, at: usize, group: usize, r: usize, exporting: bool): void {
  for (let k: usize = 0; k < group; k += 8) {
    const place = at + placeInt4(r, k);
    if (exporting) {
      const word = load<u32>(place);
      store<u32>(
        quantized + (k >> 1),
        spread(word & 0x0f0f0f0f) | (spread((word >> 4) & 0x0f0f0f0f) << 16),
      );
    } else {
      const word = load<u32>(quantized + (k >> 1));
      store<u32>(place, gather(word & 0xffff) | (gather(word >> 16) << 4));
    }
  }
}

/** Moves 4 nibbles of 16 bits to the low nibbles of 4 bytes, and back. */
function gather(nibbles: u32): u32 {
  const t = (nibbles | (nibbles << 8)) & 0x00ff00ff;
  return (t | (t << 4)) & 0x0f0f0f0f;
}
function spread(bytes: u32): u32 {
  const t = (bytes | (bytes >> 4)) & 0x00ff00ff;
  return (t | (t >> 8)) & 0xffff;
}

/** Rows of a weight as f32. A unit is a row; an id out of range gives NaN. */
export function unpackRows(args: usize, begin: i32, end: i32): void {
  const weight = ptr(args, UnpackArg.weight);
  const ids = ptr(args, UnpackArg.ids);
  const columns = ptr(args, UnpackArg.columns);
  const group = ptr(args, UnpackArg.group);
  const format = int(args, UnpackArg.format);
  for (let unit = begin; unit < end; unit++) {
    const row =
      ids === 0 ? int(args, UnpackArg.first) + unit : load<i32>(ids + ((<usize>unit) << 2));
    const out = ptr(args, UnpackArg.y) + ((<usize>unit * columns) << 2);
    if (row < 0 || row >= int(args, UnpackArg.rows)) {
      for (let k: usize = 0; k < columns; k++) store<f32>(out + (k << 2), f32.NaN);
    } else if (format === 0) {
      memory.copy(out, weight + ((<usize>row * columns) << 2), columns << 2);
    } else if (format === 1) {
      const panel = weight + (((<usize>row >> 5) * columns) << 7) + ((<usize>row & 31) << 2);
      for (let k: usize = 0; k < columns; k++)
        store<f32>(out + (k << 2), load<f32>(panel + (k << 7)));
    } else if (format === 2) {
      const panel = weight + (<usize>row >> 5) * columns * (2 * BF16_COLUMN);
      let from = panel + placeBf16(<usize>row & 31, columns);
      for (let k: usize = 0; k < columns; k++) {
        store<f32>(out + (k << 2), fromBf16(load<u16>(from)));
        from += BF16_COLUMN;
      }
    } else {
      unpackInt(
        weight,
        <usize>row,
        columns,
        group,
        format === 3 ? 8 : 4,
        int(args, UnpackArg.f16Parameters) !== 0,
        out,
      );
    }
  }
}

function unpackInt(
  weight: usize,
  row: usize,
  columns: usize,
  group: usize,
  bits: i32,
  f16: bool,
  out: usize,
): void {
  const groups = (columns + group - 1) / group;
  const r = row & 7;
  const flip = <u8>signFlip();
  let p = weight + (row >> 3) * panelBytes(groups, group, bits);
  for (let g: usize = 0; g < groups; g++) {
    const parameters = p + group * <usize>bits + (r << 1);
    const scaleBits = load<u16>(parameters);
    const offsetBits = load<u16>(parameters, 16);
    const scale = f16 ? fromF16(scaleBits) : fromBf16(scaleBits);
    const offset = f16 ? fromF16(offsetBits) : fromBf16(offsetBits);
    const count = min(group, columns - g * group);
    for (let i: usize = 0; i < count; i++) {
      const code =
        bits === 8
          ? <i32>(load<u8>(p + placeInt8(r, i)) ^ flip)
          : (<i32>load<u8>(p + placeInt4(r, i)) >> <i32>(i & 4)) & 15;
      store<f32>(out + ((g * group + i) << 2), <f32>code * scale + offset);
    }
    p += group * <usize>bits + 32;
  }
}
