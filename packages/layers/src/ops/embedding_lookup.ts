// embeddingLookup: rows of a packed table by token id.
import type * as tf from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../errors.js';
import { runKernel1 } from '../registry.js';
import { type PackedWeight, packedWeightAttrs } from '../weights/packed_weight.js';

/**
 * The rows of `table` at `ids`. The ids are not checked here, since that would read them back from the
 * device; the model checks its input.
 *
 * @param ids int32, any shape
 * @param table packed, of shape (rows, dModel)
 * @returns ids' shape with a last axis of dModel
 */
export function embeddingLookup(ids: tf.Tensor, table: PackedWeight): tf.Tensor {
  if (ids.dtype !== 'int32') {
    throw new InvalidArgumentError('embeddingLookup: ids', 'int32', ids.dtype);
  }
  return runKernel1(
    'EmbeddingLookup',
    { ids, weight: table.tensor },
    { weight: packedWeightAttrs(table) },
  );
}
