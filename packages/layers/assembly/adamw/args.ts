// Arguments of an AdamW step.

export enum AdamWArg {
  variable,
  mean,
  square,
  gradient,
  size,
  /** f32: the gradient's factor. */
  scale,
  beta1,
  beta2,
  eps,
  squareCorrection,
  /** The mean's step, and the variable's factor. */
  step,
  kept,
  newVariable,
  newMean,
  newSquare,
}
