// Layout of the keys and values that attention reads, and iteration over them in time order.
//
// The keys and values of a sequence are up to three runs in time order: two of the cache (it wraps) and the
// call's own.
// f32 values are stored token by token. bf16 values are stored head by head, so that a head's are read
// sequentially, 8 at a time: even ones are the low halves of a vector's words, odd ones the high halves.
import { int, ptr } from '../shared/arguments';
import { upperHalves } from '../shared/constants';
import { AttentionArg } from './args';

/** Number of tokens of a sequence before this call. */
export function positionOf(args: usize, row: i32): i32 {
  return ptr(args, AttentionArg.cacheK) === 0
    ? 0
    : load<i32>(ptr(args, AttentionArg.positions) + ((<usize>row) << 2));
}

/** Offset of head h at slot `slot` of `slots`, in the layout of the format. */
export function slotAt(
  isBf16: bool,
  row: i32,
  slots: i32,
  slot: i32,
  kvHeads: i32,
  h: i32,
  dim: i32,
): usize {
  if (isBf16) return (<usize>((row * kvHeads + h) * slots + slot) * <usize>dim) << 1;
  return (<usize>((row * slots + slot) * kvHeads + h) * <usize>dim) << 2;
}

/** The address of the key (or value) at absolute position t of a sequence and key head. */
export function keyAt(args: usize, own: usize, cache: usize, row: i32, h: i32, t: i32): usize {
  const isBf16 = int(args, AttentionArg.isBf16) !== 0;
  const position = positionOf(args, row);
  const kvHeads = int(args, AttentionArg.kvHeads);
  const dim = int(args, AttentionArg.headDim);
  if (!isHeld(args, row, t)) {
    const length = int(args, AttentionArg.length);
    if (isBf16) return own + slotAt(isBf16, row, length, t - position, kvHeads, h, dim);
    const token = <usize>(row * length + t - position) * ptr(args, AttentionArg.kvStride);
    return own + ((token + <usize>(h * dim)) << 2);
  }
  const capacity = int(args, AttentionArg.capacity);
  return cache + slotAt(isBf16, row, capacity, t % capacity, kvHeads, h, dim);
}

/** Whether position t of a sequence is in the cache. */
function isHeld(args: usize, row: i32, t: i32): bool {
  return t < positionOf(args, row) + int(args, AttentionArg.written);
}

/** The end of the run that contains position t; at most `end`. */
export function runEnd(args: usize, row: i32, t: i32, end: i32): i32 {
  const held = positionOf(args, row) + int(args, AttentionArg.written);
  if (t >= held) return end;
  const capacity = int(args, AttentionArg.capacity);
  return min(min(end, held), t - (t % capacity) + capacity);
}

/** Stride in bytes between a head's keys in the run that contains position t. */
export function keyStride(args: usize, row: i32, t: i32): usize {
  const dim = ptr(args, AttentionArg.headDim);
  if (int(args, AttentionArg.isBf16)) return dim << 1;
  return (
    (isHeld(args, row, t)
      ? dim * ptr(args, AttentionArg.kvHeads)
      : ptr(args, AttentionArg.kvStride)) << 2
  );
}

/** The even values of 8 bf16 values as f32. */
export function evens(v: v128): v128 {
  return i32x4.shl(v, 16);
}

/** The odd values. */
export function odds(v: v128): v128 {
  return v128.and(v, upperHalves());
}

/** Reorders every 8 values, even ones first, for dot products with bf16 values. */
export function splitEvens(from: usize, to: usize, count: usize): void {
  const end = from + (count << 2);
  for (; from < end; from += 32) {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    v128.store(to, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
    v128.store(to, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 16);
    to += 32;
  }
}

/** Inverse of splitEvens. */
export function joinEvens(at: usize, count: usize): void {
  const end = at + (count << 2);
  for (; at < end; at += 32) {
    const even = v128.load(at);
    const odd = v128.load(at, 16);
    v128.store(at, v128.shuffle<i32>(even, odd, 0, 4, 1, 5));
    v128.store(at, v128.shuffle<i32>(even, odd, 2, 6, 3, 7), 16);
  }
}
