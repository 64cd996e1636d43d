// Arguments of packing weights into panels, and unpacking them.

/** Rows of numbers as int8 or int4 panels. */
export enum PackIntArg {
  source,
  /** NumberKind */
  kind,
  rows,
  columns,
  group,
  bits,
  panels,
}

/** Rows of numbers as f32 or bf16 panels. */
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

/** Between MLX's form (a row's quantised values in 32-bit words, scales and offsets apart) and panels. */
export enum RepackArg {
  values,
  scales,
  offsets,
  rows,
  columns,
  /** Columns that share a scale in the file, and in the panels. */
  fileGroup,
  group,
  panels,
  bits,
  /** Whether panels become the file's form. */
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
  /** Rows of the weight. An id beyond them gives NaN. */
  rows,
}

/** How the numbers of a matrix are stored where a packing kernel reads them. */
export enum NumberKind {
  F32,
  F16,
  Bf16,
}

/** The form of a weight that is unpacked. */
export enum PanelFormat {
  /** Plain rows of f32. */
  None,
  F32,
  Bf16,
  Int8,
  Int4,
}
