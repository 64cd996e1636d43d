// The launches of sums along an axis. The order of terms is fixed.
import type { Runtime } from './runtime.js';

/** y (outer, inner) = the sums over the middle axis of x (outer, middle, inner). */
export function sumMiddle(
  runtime: Runtime,
  x: number,
  y: number,
  outer: number,
  middle: number,
  inner: number,
): void {
  const sizes = [outer, middle, inner];
  if (inner === 1) {
    runtime.launch('sum_rows', { grid: [outer], block: 256 }, [x, y], sizes);
  } else {
    runtime.launch('sum_columns', overElements(runtime, outer * inner), [x, y], sizes);
  }
}

/** Launch of a kernel with a grid-stride loop over `size` elements. */
export function overElements(
  { device }: Runtime,
  size: number,
): { grid: readonly [number]; block: number } {
  return { grid: [Math.min(Math.ceil(size / 256), 16 * device.multiprocessors)], block: 256 };
}
