// A matmul, and its input, which may need a norm first.
import type { NumberFormat } from './activations.js';
import type { Address } from './address.js';
import type { InputNorm, LinearCall, Projection } from './calls.js';
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
): LinearInput {
  const { x, xStride, xFormat = 'f32', rows, norm } = input;
  if (!norm || ops.fusesNorm) return input;
  const { weight, groupSize, eps, z = 0, zStride = 0, normBeforeGate = false } = norm;
  const y = space();
  const yStride = y === x ? xStride : columns;
  ops.norm({
    weight,
    groupSize,
    eps,
    z,
    zStride,
    normBeforeGate,
    x,
    xStride,
    xFormat,
    y,
    yStride,
    yFormat: xFormat,
    rows,
    columns,
  });
  return { x: y, xStride: yStride, xFormat, rows, norm: undefined };
}

/**
 * A matmul by a projection. All calls have the same fields in the same order, and none is a spread object:
 * making such objects took longer than the matmul of a small model.
 */
export function linear(
  ops: NativeOps,
  { x, xStride, xFormat = 'f32', rows, norm }: LinearInput,
  { weight, attrs, bias = 0 }: Projection,
  output: Omit<LinearCall, keyof LinearInput | keyof Projection>,
): void {
  const {
    y,
    yStride,
    yFormat = 'f32',
    f32Tail,
    residual = 0,
    activation = 'linear',
    conv,
  } = output;
  ops.linear({
    x,
    xStride,
    xFormat,
    rows,
    norm,
    weight,
    attrs,
    bias,
    y,
    yStride,
    yFormat,
    f32Tail,
    residual,
    activation,
    conv,
  });
}
