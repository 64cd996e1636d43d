// Rotary positions (arXiv 2104.09864) from tfjs-core ops.
import * as tf from '@tensorflow/tfjs-core';

/**
 * Turns the first numbers of each head by the token's position: number i and number i + R / 2 are a pair.
 *
 * @param tensors (B, L, H, P) each
 * @param frequencies (R / 2): radians a token
 * @param positions tokens that each sequence has seen before; empty for none
 */
export function rotate(
  tensors: readonly tf.Tensor[],
  frequencies: tf.Tensor,
  positions: readonly number[],
): tf.Tensor[] {
  const [, length = 0] = tensors[0]?.shape ?? [];
  const starts = positions.length > 0 ? positions : [0];
  const tokens = starts.flatMap((start) => Array.from({ length }, (_, i) => start + i));
  const half = frequencies.size;
  const angles = tf.mul(tf.tensor(tokens, [starts.length, length, 1, 1]), frequencies);
  const [cosines, sines] = [fixed(angles, tf.cos), fixed(angles, tf.sin)];
  return tensors.map((x) => {
    const [, , , headDim = 0] = x.shape;
    const rest = headDim - 2 * half;
    const [a = x, b = x, unturned] = tf.split(x, rest > 0 ? [half, half, rest] : [half, half], -1);
    const turned = [
      tf.sub(tf.mul(a, cosines), tf.mul(b, sines)),
      tf.add(tf.mul(b, cosines), tf.mul(a, sines)),
    ];
    return tf.concat(unturned ? [...turned, unturned] : turned, -1);
  });
}

/** f(x), through which no gradient flows: frequencies are not trained, and tfjs may lack the sine's gradient. */
function fixed(x: tf.Tensor, f: (x: tf.Tensor) => tf.Tensor): tf.Tensor {
  return tf.customGrad(() => ({ value: f(x), gradFunc: () => tf.zerosLike(x) }))(x);
}
