// Sums along an axis, on addresses.
import { SumArg } from '../../../assembly/core/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';

const sumArguments = new ArgumentLayout(SumArg);

/** y (outer, inner) = the sums over the middle axis of x (outer, middle, inner). */
export function sumMiddle(
  runtime: Runtime,
  x: number,
  y: number,
  outer: number,
  middle: number,
  inner: number,
): void {
  sumArguments.write(runtime, { x, y, outer, middle, inner });
  const units = outer * Math.ceil(inner / 64);
  runtime.run(KernelId.Sum, units, runtime.chunk(middle * Math.min(inner, 64)));
}
