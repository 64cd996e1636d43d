// Weights into panels and back: from rows of numbers, and from MLX's packed codes.
import { codeFlip } from './bytes';
import { int, madd, ptr } from './math';

const BF16_STEP: u32 = 0x7fff;

/** A f32 rounded to bf16, to nearest even. */
function toBf16(value: f32): u16 {
  const bits = reinterpret<u32>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return <u16>((bits >> 16) | 0x40);
  return <u16>((bits + BF16_STEP + ((bits >> 16) & 1)) >> 16);
}

export function fromBf16(bits: u16): f32 {
  return reinterpret<f32>((<u32>bits) << 16);
}

export function fromF16(half: u16): f32 {
  const sign = (<u32>(half & 0x8000)) << 16;
  const magnitude = <u32>(half & 0x7fff);
  if (magnitude >= 0x7c00) {
    return reinterpret<f32>(sign | 0x7f800000 | ((magnitude & 0x3ff) << 13));
  }
  // The multiplication makes up for the exponent's bias, of subnormal numbers too.
  const scaled = reinterpret<f32>(magnitude << 13) * reinterpret<f32>(<u32>0x77800000);
  return reinterpret<f32>(sign | reinterpret<u32>(scaled));
}

/** Number i of an array of NumberKind `kind`. */
function numberAt(p: usize, i: usize, kind: i32): f32 {
  if (kind === 0) return load<f32>(p + (i << 2));
  const half = load<u16>(p + (i << 1));
  return kind === 1 ? fromF16(half) : fromBf16(half);
}

function bytesOf(kind: i32): usize {
  return kind === 0 ? 4 : 2;
}

/** Where row r, column k of a group stands: bytes of int8, and of int4 the byte of its nibble. */
function placeInt8(r: usize, k: usize): usize {
  return ((k >> 2) << 5) + (r << 2) + (k & 3);
}
function placeInt4(r: usize, k: usize): usize {
  return ((k >> 3) << 5) + (r << 2) + (k & 3);
}

/** Where row r (of 32) stands within a column of a bf16 panel. */
function placeBf16(r: usize): usize {
  return (r & 24) + ((r & 3) << 1) + ((r >> 2) & 1);
}

function panelBytes(groups: usize, group: usize, bits: i32): usize {
  return groups * (group * <usize>bits + 32);
}

/** Words: source, kind, rows, columns, group, bits, destination. A unit is a panel of 8 rows. */
export function packInt(args: usize, begin: i32, end: i32, scratch: usize): void {
  const kind = int(args, 1);
  const rows = int(args, 2);
  const columns = ptr(args, 3);
  const group = ptr(args, 4);
  const bits = int(args, 5);
  const groups = (columns + group - 1) / group;
  const stride = panelBytes(groups, group, bits);
  const groupBytes = group * <usize>bits + 32;
  for (let panel = begin; panel < end; panel++) {
    const out = ptr(args, 6) + <usize>panel * stride;
    memory.fill(out, 0, stride);
    for (let r: i32 = 0; r < 8; r++) {
      const row = (panel << 3) + r;
      if (row >= rows) break;
      const from = ptr(args, 0) + <usize>row * columns * bytesOf(kind);
      for (let g: usize = 0; g < groups; g++) {
        const count = min(group, columns - g * group);
        widen(from, g * group, count, kind, scratch);
        packGroup(scratch, count, group, bits, out + g * groupBytes, <usize>r);
      }
    }
  }
}

/** Numbers first ... first + count of an array as f32. */
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

/** Finds the scale and the offset of a group of one row and writes its codes. */
function packGroup(
  values: usize,
  count: usize,
  group: usize,
  bits: i32,
  out: usize,
  r: usize,
): void {
  const last = <f32>((1 << bits) - 1);
  const padded = (count + 3) & ~3;
  // The gap at the end repeats the last number, which moves neither end of the range.
  for (let i = count; i < padded; i++) {
    store<f32>(values + (i << 2), load<f32>(values + ((count - 1) << 2)));
  }
  let low4 = v128.load(values);
  let high4 = low4;
  for (let i: usize = 4; i < padded; i += 4) {
    const v = v128.load(values + (i << 2));
    low4 = f32x4.min(low4, v);
    high4 = f32x4.max(high4, v);
  }
  let low = f32x4.extract_lane(low4, 0);
  let high = f32x4.extract_lane(high4, 0);
  low = min(low, f32x4.extract_lane(low4, 1));
  low = min(low, f32x4.extract_lane(low4, 2));
  low = min(low, f32x4.extract_lane(low4, 3));
  high = max(high, f32x4.extract_lane(high4, 1));
  high = max(high, f32x4.extract_lane(high4, 2));
  high = max(high, f32x4.extract_lane(high4, 3));

  let offsetBits = toBf16(low);
  let scaleBits = toBf16((high - fromBf16(offsetBits)) / last);
  if (bits === 4) {
    // Clipping the ends a little often costs less than the finer grid gains.
    let least = squaredError(values, padded, scaleBits, offsetBits, last);
    for (let i: i32 = 1; i < 6; i++) {
      const shrink = <f32>1 - <f32>0.045 * <f32>i;
      const o = toBf16(low * shrink);
      const s = toBf16((high * shrink - fromBf16(o)) / last);
      const error = squaredError(values, padded, s, o, last);
      if (error < least) {
        least = error;
        offsetBits = o;
        scaleBits = s;
      }
    }
  }
  const scale = fromBf16(scaleBits);
  const offset = fromBf16(offsetBits);
  const inverse = scale > 0 ? <f32>1 / scale : <f32>0;
  const flip = codeFlip();
  // Four columns of a row stand side by side; codes of the gap at the end multiply zeros.
  for (let i: usize = 0; i < padded; i += 4) {
    const v = f32x4.sub(v128.load(values + (i << 2)), f32x4.splat(offset));
    const position = f32x4.nearest(f32x4.mul(v, f32x4.splat(inverse)));
    const clamped = f32x4.pmax(f32x4.pmin(position, f32x4.splat(last)), f32x4.splat(0));
    const codes = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(clamped), i32x4.splat(0));
    const word = i32x4.extract_lane(i8x16.narrow_i16x8_u(codes, codes), 0);
    if (bits === 8) {
      store<u32>(out + placeInt8(r, i), <u32>word ^ flip);
    } else {
      const at = out + placeInt4(r, i);
      store<i32>(at, load<i32>(at) | (word << (<i32>(i & 4))));
    }
  }
  const parameters = out + group * <usize>bits + (r << 1);
  store<u16>(parameters, scaleBits);
  store<u16>(parameters, offsetBits, 16);
}

function squaredError(values: usize, count: usize, s: u16, o: u16, last: f32): f32 {
  const scale = f32x4.splat(fromBf16(s));
  const offset = f32x4.splat(fromBf16(o));
  const inverse = f32x4.splat(fromBf16(s) > 0 ? <f32>1 / fromBf16(s) : <f32>0);
  let sum = f32x4.splat(0);
  for (let i: usize = 0; i < count; i += 4) {
    const v = v128.load(values + (i << 2));
    let code = f32x4.nearest(f32x4.mul(f32x4.sub(v, offset), inverse));
    code = f32x4.pmax(f32x4.pmin(code, f32x4.splat(last)), f32x4.splat(0));
    const error = f32x4.sub(madd(code, scale, offset), v);
    sum = madd(error, error, sum);
  }
  return (
    f32x4.extract_lane(sum, 0) +
    f32x4.extract_lane(sum, 1) +
    f32x4.extract_lane(sum, 2) +
    f32x4.extract_lane(sum, 3)
  );
}

/** Words: source, kind, rows, columns, destination, kind of the panel. A unit is 32 rows. */
export function packFloat(args: usize, begin: i32, end: i32): void {
  const kind = int(args, 1);
  const rows = int(args, 2);
  const columns = ptr(args, 3);
  const toF32 = int(args, 5) === 0;
  const shift: usize = toF32 ? 7 : 6;
  for (let panel = begin; panel < end; panel++) {
    const out = ptr(args, 4) + ((<usize>panel * columns) << shift);
    // A few columns of all rows at a time, so that what is written stays in the cache.
    for (let k0: usize = 0; k0 < columns; k0 += 64) {
      const k1 = min(k0 + 64, columns);
      for (let r: usize = 0; r < 32; r++) {
        const row = ((<usize>panel) << 5) + r;
        const missing = <i32>row >= rows;
        const from = ptr(args, 0) + row * columns * bytesOf(kind);
        const at = toF32 ? r << 2 : placeBf16(r) << 1;
        for (let k = k0; k < k1; k++) {
          const to = out + (k << shift) + at;
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
 * Between MLX's form (codes of a row packed in 32-bit words, scales and offsets apart) and panels.
 * Words: codes, scales, offsets, rows, columns, group of the file, group of the panels, panels, bits,
 * 1 to write the file's form. A unit is a panel.
 */
export function repackInt(args: usize, begin: i32, end: i32): void {
  const rows = int(args, 3);
  const columns = ptr(args, 4);
  const fileGroup = ptr(args, 5);
  const group = ptr(args, 6);
  const bits = int(args, 8);
  const exporting = int(args, 9) !== 0;
  const groups = columns / group;
  const fileGroups = columns / fileGroup;
  const stride = panelBytes(groups, group, bits);
  const groupBytes = group * <usize>bits + 32;
  const rowBytes = (columns * <usize>bits) >> 3;
  for (let panel = begin; panel < end; panel++) {
    const panelAt = ptr(args, 7) + <usize>panel * stride;
    if (!exporting) memory.fill(panelAt, 0, stride);
    for (let r: usize = 0; r < 8; r++) {
      const row = ((<usize>panel) << 3) + r;
      if (<i32>row >= rows) break;
      const codes = ptr(args, 0) + row * rowBytes;
      for (let g: usize = 0; g < groups; g++) {
        const at = panelAt + g * groupBytes;
        const parameters = at + group * <usize>bits + (r << 1);
        const fileAt = (row * fileGroups + (g * group) / fileGroup) << 1;
        if (exporting) {
          store<u16>(ptr(args, 1) + fileAt, load<u16>(parameters));
          store<u16>(ptr(args, 2) + fileAt, load<u16>(parameters, 16));
        } else {
          store<u16>(parameters, load<u16>(ptr(args, 1) + fileAt));
          store<u16>(parameters, load<u16>(ptr(args, 2) + fileAt), 16);
        }
        if (bits === 8) moveInt8(codes + g * group, at, group, r, exporting);
        else moveInt4(codes + ((g * group) >> 1), at, group, r, exporting);
      }
    }
  }
}

function moveInt8(codes: usize, at: usize, group: usize, r: usize, exporting: bool): void {
  const flip = codeFlip();
  for (let k: usize = 0; k < group; k += 4) {
    const place = at + placeInt8(r, k);
    if (exporting) store<u32>(codes + k, load<u32>(place) ^ flip);
    else store<u32>(place, load<u32>(codes + k) ^ flip);
  }
}

/** A word of the file holds columns 0 ... 7 from its low bits up. */
function moveInt4(codes: usize, at: usize, group: usize, r: usize, exporting: bool): void {
  for (let k: usize = 0; k < group; k += 8) {
    const place = at + placeInt4(r, k);
    if (exporting) {
      const word = load<u32>(place);
      store<u32>(
        codes + (k >> 1),
        spread(word & 0x0f0f0f0f) | (spread((word >> 4) & 0x0f0f0f0f) << 16),
      );
    } else {
      const word = load<u32>(codes + (k >> 1));
      store<u32>(place, gather(word & 0xffff) | (gather(word >> 16) << 4));
    }
  }
}

/** 4 nibbles of 16 bits to the low nibbles of 4 bytes, and back. */
function gather(nibbles: u32): u32 {
  const t = (nibbles | (nibbles << 8)) & 0x00ff00ff;
  return (t | (t << 4)) & 0x0f0f0f0f;
}
function spread(bytes: u32): u32 {
  const t = (bytes | (bytes >> 4)) & 0x00ff00ff;
  return (t | (t >> 8)) & 0xffff;
}

/**
 * Rows of a weight as f32. Words: weight, ids (0: rows first, first + 1, ...), first, destination,
 * columns, group, format (0 plain f32 rows, 1 f32 panels, 2 bf16, 3 int8, 4 int4), 1 for f16
 * parameters, rows of the weight. A unit is a row; an id out of range gives NaN.
 */
export function unpackRows(args: usize, begin: i32, end: i32): void {
  const weight = ptr(args, 0);
  const ids = ptr(args, 1);
  const columns = ptr(args, 4);
  const group = ptr(args, 5);
  const format = int(args, 6);
  for (let unit = begin; unit < end; unit++) {
    const row = ids === 0 ? int(args, 2) + unit : load<i32>(ids + ((<usize>unit) << 2));
    const out = ptr(args, 3) + ((<usize>unit * columns) << 2);
    if (row < 0 || row >= int(args, 8)) {
      for (let k: usize = 0; k < columns; k++) store<f32>(out + (k << 2), f32.NaN);
    } else if (format === 0) {
      memory.copy(out, weight + ((<usize>row * columns) << 2), columns << 2);
    } else if (format === 1) {
      const panel = weight + (((<usize>row >> 5) * columns) << 7) + ((<usize>row & 31) << 2);
      for (let k: usize = 0; k < columns; k++)
        store<f32>(out + (k << 2), load<f32>(panel + (k << 7)));
    } else if (format === 2) {
      const r = placeBf16(<usize>row & 31);
      const panel = weight + (((<usize>row >> 5) * columns) << 6) + (r << 1);
      for (let k: usize = 0; k < columns; k++) {
        store<f32>(out + (k << 2), fromBf16(load<u16>(panel + (k << 6))));
      }
    } else {
      unpackInt(weight, <usize>row, columns, group, format === 3 ? 8 : 4, int(args, 7) !== 0, out);
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
  const flip = <u8>codeFlip();
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
