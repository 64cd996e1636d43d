// Copies between strided arrays: rows of values, and transposed matrices.
import * as tf from '@tensorflow/tfjs-core';
import { CopyArg, TransposeArg } from '../../../../assembly/core/args.js';
import { KernelId } from '../../../../assembly/kernel_ids.js';
import type { Address } from '../../native/address.js';
import type { CopyCall, GatherCall } from '../../native/core/core_ops.js';
import { ArgumentLayout } from '../arguments.js';
import type { Runtime } from '../runtime.js';

const copyArguments = new ArgumentLayout(CopyArg);
const transposeArguments = new ArgumentLayout(TransposeArg);

/** An axis of both arrays, with its strides in each. */
interface Axis {
  size: number;
  from: number;
  to: number;
}

const ONE: Axis = { size: 1, from: 1, to: 1 };
/** Values per launch below which many launches are slower than tfjs's CPU kernel. */
const FEWEST = 256;
/** Values per piece of a gathered row; threads share the pieces. */
const PIECE = 4096;

/** Copies contiguous rows, or transposes matrices, with one launch per index of the outer axes. */
export function copyStrided(runtime: Runtime, call: CopyCall): boolean {
  const axes = mergedAxes(call);
  const last = axes.at(-1) ?? ONE;
  const before = axes.at(-2) ?? ONE;
  // A column is a sequence of rows with one value.
  const isColumn = axes.length === 1 && (last.from !== 1 || last.to !== 1);
  const [rows, columns] = isColumn ? [last, ONE] : [before, last];
  const isCopy = columns.from === 1 && columns.to === 1;
  const isTranspose =
    rows.from === 1 && columns.from === rows.size && columns.to === 1 && rows.to === columns.size;
  const outer = axes.slice(0, -2);
  if (!isCopy && !isTranspose) return false;
  if (outer.length > 0 && rows.size * columns.size < FEWEST) return false;
  for (const { from, to } of places(outer, call)) {
    if (isCopy) copyRows(runtime, from, to, rows, columns.size);
    else transpose(runtime, from, to, columns.size, rows.size);
  }
  return true;
}

/** Indices are read on the host. */
export function gather(runtime: Runtime, call: GatherCall): boolean {
  const { x, y, outer, length, inner, count } = call;
  if (outer !== 1) return false;
  const columns = inner % PIECE === 0 ? PIECE : inner;
  const pieces = { size: inner / columns, from: columns, to: columns };
  for (const [i, index] of runtime.ints(call.indices, count).entries()) {
    tf.util.assert(index >= 0 && index < length, () => `gather: index ${index} of ${length}`);
    copyRows(runtime, x + index * inner * 4, y + i * inner * 4, pieces, columns);
  }
  return true;
}

/** The axes longer than 1. Adjacent axes that are contiguous in both arrays are merged. */
function mergedAxes({ shape, fromStrides, toStrides }: CopyCall): Axis[] {
  const axes: Axis[] = [];
  for (const [i, size] of shape.entries()) {
    if (size === 1) continue;
    const axis = { size, from: fromStrides[i] ?? 0, to: toStrides[i] ?? 0 };
    const outer = axes.at(-1);
    if (outer && outer.from === size * axis.from && outer.to === size * axis.to) {
      axes[axes.length - 1] = { ...axis, size: outer.size * size };
    } else axes.push(axis);
  }
  return axes;
}

/** The addresses for all indices of these axes. */
function places(
  axes: readonly Axis[],
  { from, to }: Pick<CopyCall, 'from' | 'to'>,
): readonly Pick<CopyCall, 'from' | 'to'>[] {
  return axes.reduce(
    (all, axis) =>
      all.flatMap((place) =>
        Array.from({ length: axis.size }, (_, i) => ({
          from: place.from + i * axis.from * 4,
          to: place.to + i * axis.to * 4,
        })),
      ),
    [{ from, to }],
  );
}

function copyRows(runtime: Runtime, from: Address, to: Address, rows: Axis, count: number): void {
  const strides = { fromStride: rows.from * 4, toStride: rows.to * 4 };
  copyArguments.write(runtime, { from, to, ...strides, rowBytes: count * 4 });
  runtime.run(KernelId.Copy2d, rows.size, runtime.chunk(count));
}

/** x (rows, columns), transposed. */
function transpose(runtime: Runtime, x: Address, y: Address, rows: number, columns: number): void {
  transposeArguments.write(runtime, { x, y, rows, columns });
  runtime.run(KernelId.Transpose, Math.ceil(rows / 4), runtime.chunk(columns * 4));
}
