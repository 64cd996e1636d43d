// Linear: y = x weight^T + bias, with a packed weight.
import type * as tf from '@tensorflow/tfjs-core';
import { type PackedMatMulOptions, packedMatMul } from '../ops/packed_matmul.js';
import type { PackedWeight } from '../weights/packed_weight.js';
import { type Initializer, kaimingUniform } from './initializers.js';
import type { ParameterSpec, Parameters } from './parameters.js';

/** x W^T + bias over the last axis. */
export class Linear {
  readonly weight: PackedWeight;

  /** @param parameters 'weight' (outFeatures, inFeatures) and, if it is there, 'bias' (outFeatures) */
  constructor(private readonly parameters: Parameters) {
    this.weight = parameters.matrix('weight');
  }

  get bias(): tf.Tensor | undefined {
    return this.parameters.optionalVector('bias');
  }

  /**
   * Its parameters, by their names in a checkpoint.
   *
   * @param init of the weight. Default: PyTorch's, uniform in 1 / sqrt(inFeatures)
   */
  static parameters(
    inFeatures: number,
    outFeatures: number,
    bias: boolean,
    init: Initializer = kaimingUniform(inFeatures),
  ): ParameterSpec[] {
    const weight: ParameterSpec = {
      name: 'weight',
      shape: [outFeatures, inFeatures],
      kind: 'matrix',
      init,
    };
    if (!bias) return [weight];
    const start = kaimingUniform(inFeatures);
    return [weight, { name: 'bias', shape: [outFeatures], kind: 'vector', init: start }];
  }

  /** x (..., inFeatures) to (..., outFeatures). */
  forward(x: tf.Tensor, options: Omit<PackedMatMulOptions, 'bias'> = {}): tf.Tensor {
    return packedMatMul(x, this.weight, { ...options, bias: this.bias });
  }
}
