// Gradient checkpointing: recomputes a part of a model in the backward pass.
import * as tf from '@tensorflow/tfjs-core';

/**
 * f(x). While a gradient is recorded, only x is kept; f runs again in the backward pass (arXiv 1604.06174).
 *
 * @param f differentiable and deterministic, with one output
 * @param variables variables of f besides x that need gradients
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

/**
 * Gradients of f() with respect to each of xs, from within another gradient; zeros for those that f does
 * not use.
 */
export function gradientsWithin(
  f: () => tf.Tensor,
  xs: readonly tf.Tensor[],
  dy?: tf.Tensor,
): tf.Tensor[] {
  const { state } = tf.engine();
  // tfjs is processing its tape now. A nested gradient would replace it.
  const outerTape = state.activeTape;
  try {
    const { grads } = tf.engine().gradients(f, [...xs], dy, true);
    return grads.map((gradient, i) => gradient ?? tf.zeros(xs[i]?.shape ?? []));
  } finally {
    state.activeTape = outerTape;
  }
}
