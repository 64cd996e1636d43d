// The number of each WebAssembly kernel: the one list that the host and the kernels' source share.
export enum KernelId {
  ReadProbe,
  QuantizeActivations,
  MatMulInt8,
  MatMulInt4,
  MatMulBf16,
  MatMulF32,
  PackInt,
  PackFloat,
  RepackInt,
  UnpackRows,
  RmsNorm,
  GatedActivation,
  CausalConv1d,
  SsdScan,
  Attention,
  WriteRing,
  CrossEntropy,
  Copy2d,
  Binary,
  Unary,
  Softmax,
  Transpose,
  Sum,
  Max,
  RmsNormGrad,
  CausalConv1dGrad,
  SsdScanGrad,
  AttentionGrad,
  CrossEntropyGrad,
  GatedActivationGrad,
  EmbeddingLookupGrad,
  AdamWStep,
  PackPanels,
}

/** How the numbers of a matrix are stored where a packing kernel reads them. */
export enum NumberKind {
  F32,
  F16,
  Bf16,
}

/** The activations by number. */
export enum ActivationId {
  Linear,
  Silu,
  Gelu,
}

/** Binary ops by number; see assembly/elementwise.ts. */
export enum BinaryOp {
  Add,
  Sub,
  Multiply,
  RealDiv,
  Maximum,
  Minimum,
  SquaredDifference,
}

/** Unary ops by number. */
export enum UnaryOp {
  Neg,
  Square,
  Sqrt,
  Rsqrt,
  Abs,
  Sigmoid,
  Exp,
}

/** How the codes of activations are stored. */
export enum CodeKind {
  I8,
  I16,
}

/** Rows of x that are few: they read panels of a weight on end, so many at a time at most. */
export const FEW_ROWS_OF_INT8 = 15;
export const FEW_ROWS_OF_INT4 = 7;
export const MOST_PANELS = 16;

/** How a product of one row reads its weight from memory, as flags: see reading.ts. */
export enum Reading {
  /** Each page is asked for while the one before is read; see assembly/pages.ts. */
  AsksForPages = 1,
  /** Two panels, half a thread's piece apart, are read in turns. */
  TwoPlaces = 2,
}
