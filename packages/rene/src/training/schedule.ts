// The learning rate schedule: linear warm-up, then half a cosine to a minimum.

export interface Schedule {
  /** Maximum rate, reached at the end of the warm-up. */
  learningRate: number;
  /** Rate of the last step. */
  minLearningRate: number;
  warmupSteps: number;
  /** Total number of steps. */
  steps: number;
}

/** @param step from 0 */
export function learningRateAt(
  step: number,
  { learningRate, minLearningRate, warmupSteps, steps }: Schedule,
): number {
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  const progress = (step - warmupSteps) / Math.max(1, steps - 1 - warmupSteps);
  const cosine = (1 + Math.cos(Math.PI * Math.min(1, progress))) / 2;
  return minLearningRate + (learningRate - minLearningRate) * cosine;
}
