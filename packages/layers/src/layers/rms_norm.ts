// RMSNorm: divides the last axis by its root mean square, then applies a weight.
import type * as tf from '@tensorflow/tfjs-core';
import { rmsNorm } from '../ops/rms_norm.js';
import { ones } from './initializers.js';
import type { ParameterSpec, Parameters } from './parameters.js';

/** x / rms(x) * weight over the last axis. */
export class RMSNorm {
  /** @param parameters 'weight' (dModel) */
  constructor(
    private readonly parameters: Parameters,
    readonly eps = 1e-5,
  ) {
    parameters.vector('weight');
  }

  get weight(): tf.Tensor {
    return this.parameters.vector('weight');
  }

  /** Its parameters, by their names in a checkpoint. */
  static parameters(dModel: number): ParameterSpec[] {
    return [{ name: 'weight', shape: [dModel], kind: 'vector', init: ones }];
  }

  /** x (..., dModel) to the same shape. */
  forward(x: tf.Tensor): tf.Tensor {
    return rmsNorm(x, this.weight, this.eps);
  }
}
