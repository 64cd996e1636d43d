// Arguments of the gated activation and its gradient.

export enum ActivationArg {
  x,
  xStride,
  /** 0 for none. */
  multiplier,
  multiplierStride,
  y,
  yStride,
  columns,
  activation,
}

/** All tensors are contiguous. */
export enum ActivationGradArg {
  x,
  /** 0 for none. */
  multiplier,
  dy,
  dx,
  dmultiplier,
  size,
  activation,
}

/** Activation ids. */
export enum ActivationId {
  Linear,
  Silu,
  Gelu,
  Relu2,
}
