// Writes keys and values to the cache, as f32 or bf16.
import { int, ptr } from '../shared/arguments';
import { upperHalves } from '../shared/constants';
import { WriteKvCacheArg } from './args';
import { slotAt } from './keys';

/** A unit is a token. Tokens that later ones of the call overwrite are skipped. */
export function writeKvCache(args: usize, begin: i32, end: i32): void {
  const capacity = int(args, WriteKvCacheArg.capacity);
  const kvHeads = int(args, WriteKvCacheArg.kvHeads);
  const length = int(args, WriteKvCacheArg.length);
  const dim = int(args, WriteKvCacheArg.headDim);
  const isBf16 = int(args, WriteKvCacheArg.isBf16) !== 0;
  for (let unit = begin; unit < end; unit++) {
    const row = unit / length;
    const i = unit % length;
    if (i + capacity < length) continue;
    const positions = ptr(args, WriteKvCacheArg.positions);
    const before = positions === 0 ? 0 : load<i32>(positions + ((<usize>row) << 2));
    const slot = (before + i) % capacity;
    const token = (<usize>unit * ptr(args, WriteKvCacheArg.kvStride)) << 2;
    for (let h: i32 = 0; h < kvHeads; h++) {
      const at = slotAt(isBf16, row, capacity, slot, kvHeads, h, dim);
      const from = token + ((<usize>(h * dim)) << 2);
      put(isBf16, ptr(args, WriteKvCacheArg.k) + from, ptr(args, WriteKvCacheArg.cacheK) + at, dim);
      put(isBf16, ptr(args, WriteKvCacheArg.v) + from, ptr(args, WriteKvCacheArg.cacheV) + at, dim);
    }
  }
}

function put(isBf16: bool, from: usize, to: usize, count: usize): void {
  if (isBf16) roundAll(from, to, count);
  else memory.copy(to, from, count << 2);
}

/** Rounds f32 values, a multiple of 8, to bf16. */
function roundAll(from: usize, to: usize, count: usize): void {
  const high = upperHalves();
  const end = from + (count << 2);
  for (; from < end; from += 32) {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    const even = roundToBf16(v128.shuffle<i32>(a, b, 0, 2, 4, 6));
    const odd = roundToBf16(v128.shuffle<i32>(a, b, 1, 3, 5, 7));
    v128.store(to, v128.or(i32x4.shr_u(even, 16), v128.and(odd, high)));
    to += 16;
  }
}

/** The upper halves are the bf16 values, rounded to nearest even; NaN stays NaN. */
function roundToBf16(v: v128): v128 {
  const odd = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
  const rounded = i32x4.add(v, i32x4.add(odd, i32x4.splat(0x7fff)));
  const quiet = v128.or(v, i32x4.splat(0x00400000));
  return v128.bitselect(rounded, quiet, f32x4.eq(v, v));
}
