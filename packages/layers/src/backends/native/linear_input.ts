// The input of a matmul that may need a norm first.
import type { NumberFormat } from './activations.js';
import type { Address } from './address.js';
import type { InputNorm, LinearCall } from './calls.js';
import type { NativeOps } from './ops.js';

/** Rows, and the norm that they need before a matmul. */
export interface LinearInput {
  x: Address;
  xStride: number;
  xFormat?: NumberFormat;
  rows: number;
  norm?: InputNorm | undefined;
}

/**
 * The input for LinearCall. If the backend's matmul does not normalise its input, this does it once for all
 * matmuls that read it.
 *
 * @param space gives the address of the normalised rows; may be x itself
 */
export function linearInput(
  ops: NativeOps,
  input: LinearInput,
  columns: number,
  space: () => Address,
): Pick<LinearCall, 'x' | 'xStride' | 'xFormat' | 'rows' | 'norm'> {
  const { norm, ...plain } = input;
  if (!norm) return plain;
  if (ops.fusesNorm) return input;
  const y = space();
  const yStride = y === plain.x ? plain.xStride : columns;
  ops.norm({ ...plain, ...norm, columns, y, yStride, yFormat: plain.xFormat ?? 'f32' });
  return { ...plain, x: y, xStride: yStride };
}
