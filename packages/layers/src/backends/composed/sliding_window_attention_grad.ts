// SlidingWindowAttentionGrad from tfjs-core ops: the same blocks, with recomputed weights.
import * as tf from '@tensorflow/tfjs-core';
import { defineKernel } from '../../registry.js';
import {
  type Block,
  blockKeys,
  blockRows,
  blocksOf,
  blockWeights,
  queriesByKeyHead,
  queriesByToken,
} from './sliding_window_attention.js';

export const slidingWindowAttentionGradKernel = defineKernel(
  'SlidingWindowAttentionGrad',
  ({ q, k, v, dy }, { window, scale }) => {
    const [batch = 0, length = 0, heads = 0, dim = 0] = q.shape;
    const kvHeads = k.shape[2] ?? 1;
    const queries = queriesByKeyHead(q, kvHeads);
    const dys = queriesByKeyHead(dy, kvHeads);
    const keys = tf.transpose(k, [0, 2, 1, 3]);
    const values = tf.transpose(v, [0, 2, 1, 3]);

    const blocks = blocksOf(length, 0, window);
    const dK = new KeyAccumulator(blocks);
    const dV = new KeyAccumulator(blocks);
    const dQ = blocks.map((block) => {
      const rows = blockRows(queries, block);
      const dRows = blockRows(dys, block);
      const blockK = blockKeys(keys, block);
      const weights = blockWeights(rows, blockK, block, scale);
      dV.add(block, tf.matMul(weights, dRows, true, false));
      const dWeights = tf.matMul(dRows, blockKeys(values, block), false, true);
      const mean = tf.sum(tf.mul(dWeights, weights), -1, true);
      const dScores = tf.mul(tf.mul(weights, tf.sub(dWeights, mean)), scale);
      dK.add(block, tf.matMul(dScores, rows, true, false));
      return tf.reshape(tf.matMul(dScores, blockK), [
        batch,
        kvHeads,
        heads / kvHeads,
        block.length,
        dim,
      ]);
    });
    return [queriesByToken(tf.concat(dQ, 3)), dK.byToken(), dV.byToken()];
  },
);

/**
 * Sums the gradients of overlapping ranges of keys segment by segment (one per block of queries), so that
 * the cost grows with length x window, not with length^2.
 */
class KeyAccumulator {
  private readonly segments: (tf.Tensor | undefined)[];

  constructor(private readonly blocks: readonly Block[]) {
    this.segments = blocks.map(() => undefined);
  }

  /** part (B, Hkv, keyLength, P) covers the keys of `block`. */
  add(block: Block, part: tf.Tensor): void {
    const end = block.keyStart + block.keyLength;
    this.blocks.forEach((segment, i) => {
      const from = Math.max(segment.start, block.keyStart);
      const to = Math.min(segment.start + segment.length, end);
      if (from >= to) return;
      const cut = tf.slice(part, [0, 0, from - block.keyStart, 0], [-1, -1, to - from, -1]);
      const padded = tf.pad(cut, [
        [0, 0],
        [0, 0],
        [from - segment.start, segment.start + segment.length - to],
        [0, 0],
      ]);
      const sum = this.segments[i];
      this.segments[i] = sum ? tf.add(sum, padded) : padded;
    });
  }

  /** (B, L, Hkv, P) */
  byToken(): tf.Tensor {
    const sums = this.segments.filter((t) => t !== undefined);
    return tf.transpose(tf.concat(sums, 2), [0, 2, 1, 3]);
  }
}
