// The outputs of a gradient kernel as tfjs wants them: a function for each input's gradient.
import type * as tf from '@tensorflow/tfjs-core';
import { output } from '../registry.js';

/**
 * Names the outputs in order. They are computed already: tfjs asks for each in a tidy of its own,
 * in which the others would be lost.
 */
export function gradientsOf(
  names: readonly string[],
  outputs: readonly tf.Tensor[],
): Record<string, () => tf.Tensor> {
  return Object.fromEntries(names.map((name, i) => [name, () => output(outputs, i)]));
}

/** The names that `inputs` has, in the order given. */
export function namesIn(inputs: object, names: readonly string[]): string[] {
  return names.filter((name) => name in inputs);
}
