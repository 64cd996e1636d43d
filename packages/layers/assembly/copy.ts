// Copies of rectangles of memory: slices, splits, joins.
import { ptr } from './math';

/** Bytes of a row from which on a bulk copy is worth the call. */
const BULK: usize = 4096;

/** Words: source, its stride in bytes, destination, its stride, bytes of a row: whole words. A unit is a row. */
export function copy2d(args: usize, begin: i32, end: i32): void {
  const fromStride = ptr(args, 1);
  const toStride = ptr(args, 3);
  const bytes = ptr(args, 4);
  let from = ptr(args, 0) + <usize>begin * fromStride;
  let to = ptr(args, 2) + <usize>begin * toStride;
  for (let row = begin; row < end; row++) {
    if (bytes >= BULK) memory.copy(to, from, bytes);
    else copyWords(from, to, bytes);
    from += fromStride;
    to += toStride;
  }
}

function copyWords(from: usize, to: usize, bytes: usize): void {
  let at: usize = 0;
  for (; at + 32 <= bytes; at += 32) {
    const a = v128.load(from + at);
    const b = v128.load(from + at, 16);
    v128.store(to + at, a);
    v128.store(to + at, b, 16);
  }
  for (; at < bytes; at += 4) store<u32>(to + at, load<u32>(from + at));
}
