// The outputs of a gradient kernel as tfjs wants them: a function for the gradient of each input.
import type * as tf from '@tensorflow/tfjs-core';
import { output } from '../registry.js';

/**
 * Assigns the outputs to the inputs, in their order. They are computed already: tfjs asks for each in a tidy
 * of its own, which would dispose the others.
 */
export function gradientsOf(
  inputs: object,
  outputs: readonly tf.Tensor[],
): Record<string, () => tf.Tensor> {
  return Object.fromEntries(Object.keys(inputs).map((name, i) => [name, () => output(outputs, i)]));
}
