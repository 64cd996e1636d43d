// The gradient of attention without a cache, in blocks of 32 queries: matmuls of small matrices.
//
// The weights P = softmax(scale q k^T) of a block are recomputed. With dP = dy v^T:
//   dS = scale P (dP - sum of P dP along the keys);  dq = dS k;  dk = dS^T q;  dv = P^T dy
import { int, num, ptr } from '../shared/arguments';
import { exp4, madd, store4, sumLanes } from '../shared/math';
import { copied, Part, product, transposed } from '../shared/small_matrix';
import { touch } from '../shared/touch';
import { AttentionGradArg } from './args';

/** Queries per block; see also sliding_window_attention_grad.ts. */
const BLOCK: i32 = 32;
/** The size of that many values in bytes. */
const BLOCK_ROW: usize = 128;

/**
 * All tensors are contiguous. A unit is a key head of a sequence, so that units do not share gradients of
 * keys. Scratch, with length L and head dimension D padded to multiples of four: 5 L D + 5 * 32 D + 3 * 32
 * SEEN values.
 */
export function attentionGrad(args: usize, begin: i32, end: i32, scratch: usize): void {
  const length = int(args, AttentionGradArg.length);
  const kvHeads = int(args, AttentionGradArg.kvHeads);
  const dim = int(args, AttentionGradArg.headDim);
  const group = int(args, AttentionGradArg.heads) / kvHeads;
  const kStep = (<usize>(kvHeads * dim)) << 2;
  const dimRow = (<usize>((dim + 3) & ~3)) << 2;
  const lengthRow = (<usize>((length + 3) & ~3)) << 2;
  const keyBytes = (lengthRow >> 2) * dimRow;
  const k = scratch;
  const kt = k + keyBytes;
  const vt = kt + keyBytes;
  const dk = vt + keyBytes;
  const dv = dk + keyBytes;
  const work = dv + keyBytes;
  for (let unit = begin; unit < end; unit++) {
    const row = unit / kvHeads;
    const h = unit % kvHeads;
    if (h === 0 || unit === begin) touchRow(args, row);
    const at = <usize>(row * length) * kStep + ((<usize>(h * dim)) << 2);
    copied(ptr(args, AttentionGradArg.k) + at, kStep, length, dim, k, dimRow, 0);
    transposed(ptr(args, AttentionGradArg.k) + at, kStep, length, dim, kt, lengthRow, 0);
    transposed(ptr(args, AttentionGradArg.v) + at, kStep, length, dim, vt, lengthRow, 0);
    // Padding of the keys is multiplied by zeros.
    memory.fill(k + <usize>length * dimRow, 0, keyBytes - <usize>length * dimRow);
    memory.fill(dk, 0, keyBytes << 1);
    for (let head = h * group; head < (h + 1) * group; head++) {
      for (let i: i32 = 0; i < length; i += BLOCK) {
        blockGrad(args, row, head, i, min(BLOCK, length - i), k, kt, vt, dk, dv, work);
      }
    }
    write(dk, dimRow, ptr(args, AttentionGradArg.dk) + at, kStep, length, dim);
    write(dv, dimRow, ptr(args, AttentionGradArg.dv) + at, kStep, length, dim);
  }
}

/** Shared data of all heads of a sequence. The tokens are split into parts. */
function touchRow(args: usize, row: i32): void {
  const tokens = int(args, AttentionGradArg.length) * int(args, AttentionGradArg.headDim);
  const queries = (<usize>(tokens * int(args, AttentionGradArg.heads))) << 2;
  const keys = (<usize>(tokens * int(args, AttentionGradArg.kvHeads))) << 2;
  touch(ptr(args, AttentionGradArg.q) + <usize>row * queries, queries);
  touch(ptr(args, AttentionGradArg.k) + <usize>row * keys, keys);
  touch(ptr(args, AttentionGradArg.v) + <usize>row * keys, keys);
  touch(ptr(args, AttentionGradArg.dy) + <usize>row * queries, queries);
}

/** Queries i ... i + count - 1 of a head: their dq, and their contributions to dk and dv. */
function blockGrad(
  args: usize,
  row: i32,
  head: i32,
  i: i32,
  count: i32,
  k: usize,
  kt: usize,
  vt: usize,
  dk: usize,
  dv: usize,
  work: usize,
): void {
  const length = int(args, AttentionGradArg.length);
  const dim = int(args, AttentionGradArg.headDim);
  const window = int(args, AttentionGradArg.window);
  const columns = (dim + 3) & ~3;
  const dimRow = (<usize>columns) << 2;
  const lengthRow = (<usize>((length + 3) & ~3)) << 2;
  const first = max(0, i + 1 - window) & ~3;
  const keys = ((i + count + 3) & ~3) - first;
  const keyRow = ptr(args, AttentionGradArg.seen) << 2;
  const padded = (count + 3) & ~3;
  const q = work;
  const dy = q + dimRow * BLOCK;
  const dq = dy + dimRow * BLOCK;
  const qt = dq + dimRow * BLOCK;
  const dyt = qt + dimRow * BLOCK;
  const p = dyt + dimRow * BLOCK;
  const ds = p + keyRow * BLOCK;
  const dst = ds + keyRow * BLOCK;

  const step = (<usize>(int(args, AttentionGradArg.heads) * dim)) << 2;
  const at = <usize>(row * length + i) * step + ((<usize>(head * dim)) << 2);
  copied(ptr(args, AttentionGradArg.q) + at, step, count, dim, q, dimRow, 0);
  transposed(ptr(args, AttentionGradArg.q) + at, step, count, dim, qt, BLOCK_ROW, 0);
  copied(ptr(args, AttentionGradArg.dy) + at, step, count, dim, dy, dimRow, 0);
  transposed(ptr(args, AttentionGradArg.dy) + at, step, count, dim, dyt, BLOCK_ROW, 0);

  const from = (<usize>first) << 2;
  const w = Part.Whole;
  product(qt, BLOCK_ROW, kt + from, lengthRow, p, keyRow, padded, keys, dim, w, true);
  product(dyt, BLOCK_ROW, vt + from, lengthRow, ds, keyRow, padded, keys, dim, w, true);
  for (let r: i32 = 0; r < count; r++) {
    const start = max(0, i + r + 1 - window) - first;
    const at = <usize>r * keyRow;
    scoreGrads(p + at, ds + at, start, i + r - first, keys, num(args, AttentionGradArg.scale));
  }
  transposed(ds, keyRow, count, keys, dst, BLOCK_ROW, 0);
  const own = <usize>first * dimRow;
  product(dst, BLOCK_ROW, k + own, dimRow, dq, dimRow, padded, columns, keys, w, true);
  product(ds, keyRow, q, dimRow, dk + own, dimRow, keys, columns, count, w, false);
  product(p, keyRow, dy, dimRow, dv + own, dimRow, keys, columns, count, w, false);
  write(dq, dimRow, ptr(args, AttentionGradArg.dq) + at, step, count, dim);
}

/**
 * Converts a query's scores in p to weights, and dP in ds to dS. The query attends to keys start ... last of
 * `keys`.
 */
function scoreGrads(p: usize, ds: usize, start: i32, last: i32, keys: i32, scale: f32): void {
  const factor = f32x4.splat(scale);
  const nothing = f32x4.splat(-Infinity);
  const low = i32x4.splat(start);
  const high = i32x4.splat(last);
  const end = (<usize>keys) << 2;
  let index = i32x4(0, 1, 2, 3);
  let top = nothing;
  for (let at: usize = 0; at < end; at += 16) {
    const seen = v128.and(i32x4.ge_s(index, low), i32x4.le_s(index, high));
    const score = v128.bitselect(f32x4.mul(v128.load(p + at), factor), nothing, seen);
    v128.store(p + at, score);
    top = f32x4.max(top, score);
    index = i32x4.add(index, i32x4.splat(4));
  }
  const largest = f32x4.splat(
    max(
      max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
      max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
    ),
  );
  let sum = f32x4.splat(0);
  let dot = f32x4.splat(0);
  for (let at: usize = 0; at < end; at += 16) {
    const score = v128.load(p + at);
    const e = v128.and(exp4(f32x4.sub(score, largest)), f32x4.ne(score, nothing));
    v128.store(p + at, e);
    sum = f32x4.add(sum, e);
    dot = madd(e, v128.load(ds + at), dot);
  }
  const inverse = <f32>1 / sumLanes(sum);
  const mean = f32x4.splat(sumLanes(dot) * inverse);
  for (let at: usize = 0; at < end; at += 16) {
    const weight = f32x4.mul(v128.load(p + at), f32x4.splat(inverse));
    v128.store(p + at, weight);
    const d = f32x4.mul(weight, f32x4.sub(v128.load(ds + at), mean));
    v128.store(ds + at, f32x4.mul(d, factor));
  }
}

/** Copies rows padded to vectors without their padding. */
function write(
  from: usize,
  fromStride: usize,
  to: usize,
  toStride: usize,
  rows: i32,
  dim: i32,
): void {
  for (let r: i32 = 0; r < rows; r++) {
    for (let c: i32 = 0; c < dim; c += 4) {
      const at = (<usize>c) << 2;
      store4(to + at, v128.load(from + at), dim - c);
    }
    from += fromStride;
    to += toStride;
  }
}
