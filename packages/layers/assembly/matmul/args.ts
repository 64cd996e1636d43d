// Arguments of the matmuls, y = activation(x w^T + bias) + residual, and of the kernels that prepare their
// operands.

/** Arguments of every matmul. */
export enum MatMulArg {
  weight,
  /** f32, or quantised values. */
  x,
  y,
  rows,
  outFeatures,
  /** Columns; for integer weights padded to whole groups. */
  columns,
  /** 0 for none; likewise the residual. */
  bias,
  residual,
  activation,
  panels = 12,
  /** Rows of x in a block. */
  block,
  /** Stride between rows. */
  yStride,
  residualStride,
  /** Flags of ReadStrategy. Not used by f32 weights. */
  readStrategy = 22,
}

/** Of int8 and int4 weights. */
export enum IntMatMulArg {
  /** Scales and scaled sums of the quantised activations, [group][row]. */
  xScales = 9,
  xSums,
  group,
  /** Whether scales and offsets are f16 and not bf16. */
  f16Parameters = 17,
  /** QuantizedKind of x. */
  xKind,
  /** Initial values of dot products with int8 weights, [group][row]; see QuantizeArg.centres. */
  xCentres,
  /** Whether four byte products are summed with one instruction. */
  hasInt8Dot4 = 23,
}

/** Of f32 and bf16 weights. */
export enum FloatMatMulArg {
  xStride = 16,
  /** f32 weights only: stride between rows (transposed: columns) of a plain matrix; 0 for panels. */
  weightStride = 18,
  /** Whether the plain matrix is (columns, outFeatures). */
  weightTransposed,
  /** Whether x is (columns, rows), xStride apart from one column to the next. */
  xTransposed,
  /** Panels of a unit that share a gathered block of x; 0: one panel, and x is not gathered. */
  panelsAtOnce,
}

/** Activations quantised with a scale per group. */
export enum QuantizeArg {
  x,
  xStride,
  rows,
  columns,
  /** Columns padded to whole groups; the values there are 0. */
  padded,
  group,
  /** [group][row][column] of i8 or i16, QUANTIZED_STRIDE columns from one row to the next. */
  values,
  /** [group][row] */
  scales,
  /** [group][row]: the sum of the values, scaled. */
  sums,
  /** The quantised value of the largest magnitude; with `ofFours`, the bound of the largest sum of four. */
  largest,
  /** f32: 2^112 where the weight's parameters are f16 (see parameters4), else 1. */
  factor,
  /** QuantizedKind */
  kind,
  /**
   * 0, or [group][row] of i32: initial values that change dot products with the stored int8 values to dot
   * products with the values minus 128. They are -128 times the sum of x's values if the stored values range
   * from 0 to 255, else, and for int4, 0.
   */
  centres,
  /** Whether `largest` refers to largestFour, not to the largest magnitude. */
  ofFours,
  /** Whether the weight is int8. */
  isInt8,
}

/** Packs a plain matrix into panels. */
export enum PackPanelsArg {
  matrix,
  /** Stride between rows (transposed: columns). */
  stride,
  /** Whether the matrix is (columns, outFeatures). */
  transposed,
  outFeatures,
  columns,
  panels,
}

/** How quantised activations are stored. */
export enum QuantizedKind {
  I8,
  I16,
}

/**
 * Maximum number of rows of x with which each tile of rows streams panels, and maximum number of such
 * panels.
 */
export const FEW_ROWS_OF_INT8 = 15;
export const FEW_ROWS_OF_INT4 = 7;
export const MOST_PANELS = 16;

/** How a matmul with one row reads its weight from memory, as flags; see read_strategy.ts. */
export enum ReadStrategy {
  /** Each page is prefetched while the previous one is read; see pages.ts. */
  PrefetchPages = 1,
  /** Two panels, half a thread's share apart, are read interleaved. */
  TwoStreams = 2,
}
