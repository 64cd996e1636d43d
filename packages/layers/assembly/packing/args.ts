// Arguments of packing weights into panels, and unpacking them.

/** Packs rows of values as int8 or int4 panels. */
export enum PackIntArg {
  source,
  /** NumberKind */
  kind,
  rows,
  columns,
  group,
  bits,
  panels,
  /** f32: weights of the columns' squared errors in int4; 0 if all are 1. */
  weights,
}

/** Packs rows of values as f32 or bf16 panels. */
export enum PackFloatArg {
  source,
  /** NumberKind */
  kind,
  rows,
  columns,
  panels,
  /** NumberKind of the panels. */
  panelKind,
}

/**
 * Between MLX's layout (a row's quantised values in 32-bit words; scales and offsets separate) and panels.
 */
export enum RepackArg {
  values,
  scales,
  offsets,
  rows,
  columns,
  /** Columns per scale in the file, and in the panels. */
  fileGroup,
  group,
  panels,
  bits,
  /** Whether to convert panels to the file's layout. */
  exporting,
}

/** Rows of a weight as f32. */
export enum UnpackArg {
  weight,
  /** i32; 0 for the rows from `first` on. */
  ids,
  first,
  y,
  columns,
  group,
  /** PanelFormat */
  format,
  f16Parameters,
  /** Rows of the weight. An id out of range gives NaN. */
  rows,
}

/** The dtype of a matrix that a packing kernel reads. */
export enum NumberKind {
  F32,
  F16,
  Bf16,
}

/** The layout of a weight that is unpacked. */
export enum PanelFormat {
  /** Plain rows of f32. */
  None,
  F32,
  Bf16,
  Int8,
  Int4,
}
