// Gradient checkpointing: a part of a model whose inner results are computed again on the way back.
import * as tf from '@tensorflow/tfjs-core';

/**
 * f(x). While a gradient is recorded, only x is kept of it: f runs a second time when the gradient
 * comes by (arXiv 1604.06174).
 *
 * @param f differentiable, of one output, the same whenever it is called
 * @param variables what f uses besides x that gradients are wanted for
 */
export function recomputeInBackward(
  f: (x: tf.Tensor) => tf.Tensor,
  x: tf.Tensor,
  variables: readonly tf.Tensor[],
): tf.Tensor {
  return tf.customGrad((...given) => {
    const save = given.at(-1);
    if (typeof save !== 'function') throw new Error('tfjs gave customGrad nothing to save with');
    save([x]);
    return {
      value: f(x),
      gradFunc: (dy: tf.Tensor, [kept]: tf.Tensor[]) =>
        kept ? gradientsWithin(() => f(kept), [kept, ...variables], dy) : [],
    };
  })(x, ...variables);
}

/** Gradients of f() by each of xs, zeros where f does not use it, from within another gradient. */
export function gradientsWithin(
  f: () => tf.Tensor,
  xs: readonly tf.Tensor[],
  dy?: tf.Tensor,
): tf.Tensor[] {
  const { state } = tf.engine();
  // tfjs is walking its tape just now, and a gradient within would leave another in its place.
  const outerTape = state.activeTape;
  try {
    const { grads } = tf.engine().gradients(f, [...xs], dy, true);
    return grads.map((gradient, i) => gradient ?? tf.zeros(xs[i]?.shape ?? []));
  } finally {
    state.activeTape = outerTape;
  }
}
