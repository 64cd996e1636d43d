// Arguments of the RMS norm, gated or not, and its gradient.

export enum NormArg {
  x,
  xStride,
  /** 0 for no gate. */
  z,
  zStride,
  weight,
  y,
  yStride,
  columns,
  groupSize,
  /** f32 */
  eps,
  normBeforeGate,
}

/** All tensors are contiguous. */
export enum NormGradArg {
  x,
  /** 0 for no gate. */
  z,
  weight,
  dy,
  dx,
  dz,
  /** (units, columns): partial sums. */
  dweight,
  columns,
  groupSize,
  /** f32 */
  eps,
  normBeforeGate,
  rows,
}
