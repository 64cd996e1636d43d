// Arguments of the scan and its gradient.

/** The gradient reads the arguments before `gate` too. It does not use y. */
export enum ScanArg {
  x,
  xStride,
  B,
  bStride,
  C,
  cStride,
  dt,
  dtStride,
  A,
  D,
  dPerChannel,
  dtBias,
  /** 0: only the state is advanced. */
  y,
  yStride,
  /** 0 for zeros; it may be `after`. */
  before,
  /** 0 if not wanted. */
  after,
  length,
  heads,
  headDim,
  dState,
  groups,
  dtSoftplus,
  /** f32 */
  dtMin,
  dtMax,
  /** y is multiplied by silu of this; 0 for none. */
  gate,
  gateStride,
}

/** Arguments of the gradient after those of ScanArg. */
export enum ScanGradArg {
  dy = 24,
  /** The gradient of the state after the call; 0 for none. */
  dafter,
  dx,
  ddt,
  /** Partial sums: (B, H); (B, L, G, blocks, N) twice; (B, H, P) or (B, H), 0 if not wanted. */
  dA,
  dB,
  dC,
  dD,
  /** 0 if not wanted. */
  dbefore,
  /** Number of blocks of heads per group. */
  blocks,
}

/** A table of scratch addresses, filled by `layOut`. */
export enum ScanGradTable {
  /** Per token: dt, the decays, up, down, the gradient of the decay's logarithm. */
  dts,
  decays,
  up,
  down,
  dLog,
  /** Per group (L, N): B, C and their gradients. */
  b,
  c,
  db,
  dc,
  /** B transposed, one chunk (N, 32) after the other. */
  bT,
  /** Per chunk (32, 32), one after the other. */
  g,
  dg,
  /** The head's states (P, N) at the start of each chunk. */
  states,
  /** The gradient of the state (P, N), and transposed. */
  ds,
  dsT,
  /** Of the current chunk: (N, 32) and (32, N). */
  cT,
  part,
  /** dy, up dy, du: (32, P). */
  dy,
  upDy,
  du,
  /** (P, 32) */
  dyT,
  uT,
  /** (32, 32) */
  l,
  m,
  dm,
  /** 32 values */
  sums,
  /** Bytes of a row of P or N values, padded to vectors. */
  pRow,
  nRow,
}
