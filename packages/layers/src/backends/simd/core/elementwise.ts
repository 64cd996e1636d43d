// The launches of tfjs's elementwise ops.
import { BinaryArg, BinaryOp, UnaryArg, UnaryOp } from '../../../../assembly/core/args.js';
import { KernelId } from '../../../../assembly/kernel_ids.js';
import type { Address } from '../../native/address.js';
import type { ElementwiseIds } from '../../native/core/arithmetic.js';
import type { BinaryCall } from '../../native/core/core_ops.js';
import { sizeOf } from '../../native/sizes.js';
import { ArgumentLayout } from '../arguments.js';
import type { Runtime } from '../runtime.js';

/** Numbers of a unit; see assembly/core/elementwise.ts. */
const SPAN = 4096;

const binaryArguments = new ArgumentLayout(BinaryArg);
const unaryArguments = new ArgumentLayout(UnaryArg);

export const elementwiseIds: ElementwiseIds = {
  binary: { ...idsOf(BinaryOp), Add: BinaryOp.Add },
  unary: idsOf(UnaryOp),
};

/** The ids of an enum whose names are tfjs's. */
function idsOf(ops: Readonly<Record<string, string | number>>): Record<string, number> {
  const named = Object.entries(ops).flatMap(([name, id]) =>
    typeof id === 'number' ? [[name, id] as const] : [],
  );
  return Object.fromEntries(named);
}

export function binary(runtime: Runtime, call: BinaryCall): boolean {
  const { aShape, bShape, shape } = call;
  const [walkA, walkB] = [walkOf(aShape, shape), walkOf(bShape, shape)];
  if (!walkA || !walkB) return false;
  const size = sizeOf(shape);
  binaryArguments.write(runtime, call, {
    size,
    aRepeat: walkA.repeat,
    aCount: walkA.count,
    bRepeat: walkB.repeat,
    bCount: walkB.count,
  });
  runtime.run(KernelId.Binary, Math.ceil(size / SPAN), runtime.chunk(SPAN));
  return true;
}

/**
 * How a broadcast tensor is read: each value `repeat` times, `count` values, cyclically. Undefined if its
 * axes of size 1 are neither all leading nor all trailing.
 */
function walkOf(
  shape: readonly number[],
  output: readonly number[],
): { repeat: number; count: number } | undefined {
  const aligned = [...Array(output.length - shape.length).fill(1), ...shape];
  const count = sizeOf(shape);
  const stretched = output.map((size, i) => size !== 1 && aligned[i] === 1);
  const first = stretched.indexOf(true);
  if (first < 0 || count === 1) return { repeat: 1, count };
  const last = stretched.lastIndexOf(true);
  if (stretched.slice(first, last + 1).some((s, i) => !s && output[first + i] !== 1)) {
    return undefined;
  }
  const before = sizeOf(output.slice(0, first));
  const after = sizeOf(output.slice(last + 1));
  if (before === 1) return { repeat: 1, count };
  if (after === 1) return { repeat: sizeOf(output.slice(first, last + 1)), count };
  return undefined;
}

export function unary(runtime: Runtime, op: number, x: Address, y: Address, size: number): void {
  unaryArguments.write(runtime, { x, y, size, op });
  runtime.run(KernelId.Unary, Math.ceil(size / SPAN), runtime.chunk(SPAN * 4));
}
