// Software prefetch before strided reads.

const LINE: usize = 64;
/** Room in the second-level cache. */
const MOST: usize = 256 << 10;

/**
 * Reads one value of each line of [from, from + bytes), sequentially, so that hardware prefetch works; it
 * does not for short pieces of many rows. Does nothing if the range is too large.
 */
export function touch(from: usize, bytes: usize): void {
  if (bytes > MOST) return;
  const end = from + bytes;
  for (let p = from; p < end; p += LINE) load<i32>(p);
}
