// EmbeddingLookup and its gradient from tfjs-core ops.
import * as tf from '@tensorflow/tfjs-core';
import { defineKernel } from '../../registry.js';
import { requireRows } from './packed_matmul.js';

export const embeddingLookupKernel = defineKernel(
  'EmbeddingLookup',
  ({ ids, weight }, { weight: packed }) => {
    requireRows('EmbeddingLookup', packed);
    return tf.gather(weight, tf.cast(ids, 'int32'));
  },
);

export const embeddingLookupGradKernel = defineKernel(
  'EmbeddingLookupGrad',
  ({ ids, dy }, { rows }) => {
    const dModel = dy.shape.at(-1) ?? 0;
    // scatterND sums rows that occur several times.
    return tf.scatterND(tf.reshape(ids, [-1, 1]), tf.reshape(dy, [-1, dModel]), [rows, dModel]);
  },
);
