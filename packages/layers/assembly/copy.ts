// Copies of rectangles of memory: slices, splits, joins.
import { ptr } from './math';

/** Words: source, its stride in bytes, destination, its stride, bytes of a row. A unit is a row. */
export function copy2d(args: usize, begin: i32, end: i32): void {
  for (let row = begin; row < end; row++) {
    const from = ptr(args, 0) + <usize>row * ptr(args, 1);
    memory.copy(ptr(args, 2) + <usize>row * ptr(args, 3), from, ptr(args, 4));
  }
}
