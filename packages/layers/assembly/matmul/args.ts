// Arguments of the matmuls, y = activation(x w^T + bias) + residual, and of what prepares their operands.

/** Of all of them. */
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
  /** Numbers from one row to the next. */
  yStride,
  residualStride,
  /** Flags of ReadStrategy. Not of f32 weights. */
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
  /** What dot products with int8 values of x start with, [group][row]; see QuantizeArg.centres. */
  xCentres,
  /** Whether four products of bytes are summed by one instruction; the sums are the same. */
  hasInt8Dot4 = 23,
}

/** Of f32 and bf16 weights. */
export enum FloatMatMulArg {
  xStride = 16,
  /** f32 weights alone: numbers from a row (transposed: a column) of a plain matrix to the next; 0 for panels. */
  weightStride = 18,
  /** Whether the plain matrix is (columns, outFeatures). */
  weightTransposed,
  /** Whether x is (columns, rows), xStride apart from one column to the next. */
  xTransposed,
  /** Panels of a unit that share a gathered part of x; 0 for one panel, and x as it is. */
  panelsAtOnce,
}

/** Activations as integers with a scale for each group. */
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
  /** What the largest number becomes; with `ofFours`, what the largest four may sum to. */
  largest,
  /** f32: 2^112 where the weight's parameters are f16 (see parameters4), else 1. */
  factor,
  /** QuantizedKind */
  kind,
  /**
   * 0, or [group][row] of i32: added to the dot products with int8 values as they are stored, these make them
   * the ones with the values less 128. That is -128 times the sum of x's values where the stored ones go from
   * 0 to 255, else, and for int4, 0.
   */
  centres,
  /** Whether `largest` is of largestFour and not of the largest number. */
  ofFours,
}

/** A plain matrix as panels. */
export enum PackPanelsArg {
  matrix,
  /** Numbers from a row (transposed: a column) to the next. */
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

/** The most rows of x for which each tile of rows streams panels sequentially, and the most such panels. */
export const FEW_ROWS_OF_INT8 = 15;
export const FEW_ROWS_OF_INT4 = 7;
export const MOST_PANELS = 16;

/** How a matmul of one row reads its weight from memory, as flags; see read_strategy.ts. */
export enum ReadStrategy {
  /** Each page is prefetched while the one before it is read; see pages.ts. */
  PrefetchPages = 1,
  /** Two panels, half a thread's share apart, are read in turns. */
  TwoStreams = 2,
}
