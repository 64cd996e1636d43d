// Grids within the number of workgroups that a device allows a dimension: 65,535 by default.
import type { WebGpuRuntime } from './runtime.js';

/** Workgroups along y for so many rows; a kernel takes further rows in a loop. */
export function gridRows({ mostWorkgroups }: WebGpuRuntime, rows: number): number {
  return Math.min(rows, mostWorkgroups);
}

/** Workgroups along x and y for so many blocks; block y * (workgroups along x) + x is each one's. */
export function gridBlocks(
  { mostWorkgroups }: WebGpuRuntime,
  blocks: number,
): readonly [x: number, y: number] {
  const y = Math.ceil(blocks / mostWorkgroups);
  return [Math.ceil(blocks / y), y];
}

/** Parts of a count that each fit a dimension, for a kernel that takes the first one of its part. */
export function gridParts(
  { mostWorkgroups }: WebGpuRuntime,
  count: number,
): readonly { first: number; size: number }[] {
  return Array.from({ length: Math.ceil(count / mostWorkgroups) }, (_, i) => {
    const first = i * mostWorkgroups;
    return { first, size: Math.min(mostWorkgroups, count - first) };
  });
}
