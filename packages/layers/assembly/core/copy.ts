// Copies of rectangles of memory: slices, splits, joins.
import { ptr } from '../shared/arguments';
import { CopyArg } from './args';

/** Minimum bytes per row for a bulk copy. */
const BULK: usize = 4096;

/** A row has whole words. A unit is a row. */
export function copy2d(args: usize, begin: i32, end: i32): void {
  const fromStride = ptr(args, CopyArg.fromStride);
  const toStride = ptr(args, CopyArg.toStride);
  const bytes = ptr(args, CopyArg.rowBytes);
  let from = ptr(args, CopyArg.from) + <usize>begin * fromStride;
  let to = ptr(args, CopyArg.to) + <usize>begin * toStride;
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
