// Embedding: maps token ids to rows of a table.
import type * as tf from '@tensorflow/tfjs-core';
import { embeddingLookup } from '../ops/embedding_lookup.js';
import type { PackedWeight } from '../weights/packed_weight.js';
import { normal } from './initializers.js';
import type { ParameterSpec, Parameters } from './parameters.js';

/** Rows of a table by token id, from (B, L) to (B, L, dModel). */
export class Embedding {
  /** (rows, dModel). A tied head uses the same weight. */
  readonly weight: PackedWeight;

  /** @param parameters 'weight' (rows, dModel) */
  constructor(parameters: Parameters) {
    this.weight = parameters.matrix('weight');
  }

  /** Normal with a standard deviation of 0.02, as in the mamba repository. */
  static parameters(rows: number, dModel: number): ParameterSpec[] {
    return [{ name: 'weight', shape: [rows, dModel], kind: 'matrix', init: normal(0.02) }];
  }

  /** ids int32 of any shape to ids' shape with a last axis of dModel. */
  forward(ids: tf.Tensor): tf.Tensor {
    return embeddingLookup(ids, this.weight);
  }
}
