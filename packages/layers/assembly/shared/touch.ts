// Bringing memory near that is soon used piece by piece.

const LINE: usize = 64;
/** What the second-level cache has room for beside the rest. */
const MOST: usize = 256 << 10;

/**
 * Reads a number of each line of [from, from + bytes), which the processor foresees; the pieces of many rows,
 * one after the other, it does not. Does nothing where there is too much.
 */
export function touch(from: usize, bytes: usize): void {
  if (bytes > MOST) return;
  const end = from + bytes;
  for (let p = from; p < end; p += LINE) load<i32>(p);
}
