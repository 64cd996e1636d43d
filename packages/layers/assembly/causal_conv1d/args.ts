// Arguments of the causal convolution and its gradient.

export enum ConvArg {
  x,
  xStride,
  /** (D, W) */
  weight,
  /** 0 for none. */
  bias,
  /** The window (B, W, D) before the call (0: zeros) and after it (0: not wanted). They may be the same. */
  before,
  after,
  /** 0: only the window is advanced. */
  y,
  yStride,
  length,
  channels,
  width,
  activation,
}

/** All tensors are contiguous. */
export enum ConvGradArg {
  x,
  weight,
  /** 0 for none. */
  bias,
  /** 0 for zeros. */
  before,
  dy,
  /** The gradient of the window after the call; 0 for none. */
  dafter,
  dx,
  /** Partial sums per sequence: (B, D, W) and (B, D); dbias and dbefore are 0 if not wanted. */
  dweight,
  dbias,
  dbefore,
  length,
  channels,
  width,
  activation,
}
