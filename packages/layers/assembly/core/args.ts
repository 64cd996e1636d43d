// Arguments of tfjs's own ops.

/** Rows of bytes, whole words each. */
export enum CopyArg {
  from,
  fromStride,
  to,
  toStride,
  rowBytes,
}

export enum BinaryArg {
  a,
  b,
  y,
  size,
  /** BinaryOp */
  op,
  /** Repetitions of each value, and the number of values; then they repeat from the first. */
  aRepeat,
  aCount,
  bRepeat,
  bCount,
}

export enum UnaryArg {
  x,
  y,
  size,
  /** UnaryOp */
  op,
}

/** y (outer, inner) = the sums over the middle axis of x (outer, middle, inner). */
export enum SumArg {
  x,
  y,
  outer,
  middle,
  inner,
}

export enum TransposeArg {
  x,
  y,
  rows,
  columns,
}

/** Arguments of softmax and of the maximum of rows. */
export enum RowsArg {
  x,
  y,
  columns,
}

export enum ReadProbeArg {
  from,
  /** A single value, so that no compiler removes the reads. */
  digest,
}

/** Binary ops; see elementwise.ts. */
export enum BinaryOp {
  Add,
  Sub,
  Multiply,
  RealDiv,
  Maximum,
  Minimum,
  SquaredDifference,
}

/** Unary ops. */
export enum UnaryOp {
  Neg,
  Square,
  Sqrt,
  Rsqrt,
  Abs,
  Sigmoid,
  Exp,
}
