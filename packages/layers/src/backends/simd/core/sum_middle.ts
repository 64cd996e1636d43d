// Sums along an axis, on addresses.
import { KernelId } from '../kernel_ids.js';
import type { Runtime } from '../runtime.js';

/** y (outer, inner) = the sums over the middle axis of x (outer, middle, inner). */
export function sumMiddle(
  runtime: Runtime,
  x: number,
  y: number,
  outer: number,
  middle: number,
  inner: number,
): void {
  runtime.args.set([x, y, outer, middle, inner]);
  const units = outer * Math.ceil(inner / 64);
  runtime.run(KernelId.Sum, units, runtime.chunk(middle * Math.min(inner, 64)));
}
