// The outputs of a gradient kernel as tfjs expects them: a function for each input's gradient.
import type * as tf from '@tensorflow/tfjs-core';
import { output } from '../registry.js';

/**
 * Assigns the outputs to the inputs, in order. They are computed in advance: tfjs requests each in a
 * separate tidy, which would dispose the others.
 */
export function gradientsOf(
  inputs: object,
  outputs: readonly tf.Tensor[],
): Record<string, () => tf.Tensor> {
  return Object.fromEntries(Object.keys(inputs).map((name, i) => [name, () => output(outputs, i)]));
}
