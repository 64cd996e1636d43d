// Names, shapes and initial values of a layer's parameters; the loaded parameters by name.
import * as tf from '@tensorflow/tfjs-core';
import { ReneError } from '../errors.js';
import type { PackedWeight } from '../weights/packed_weight.js';
import type { Initializer } from './initializers.js';

/** A parameter in a checkpoint. */
export interface ParameterSpec {
  readonly name: string;
  /** The shape in the checkpoint file. */
  readonly shape: readonly number[];
  /** A 'matrix' is packed by the backend, in any weight format; a 'vector' stays an f32 tensor. */
  readonly kind: 'matrix' | 'vector';
  readonly init: Initializer;
}

/** Adds a prefix to parameter names: 'weight' becomes 'mixer.in_proj.weight'. */
export function withPrefix(prefix: string, specs: readonly ParameterSpec[]): ParameterSpec[] {
  return specs.map((spec) => ({ ...spec, name: prefix + spec.name }));
}

/** A packed matrix or a plain tensor. */
export type Parameter = PackedWeight | tf.Tensor;

/**
 * Loaded parameters by name. Layers look theirs up; the loader frees them. A parameter may be computed from others on
 * each lookup: layers look up vectors in each forward.
 */
export class Parameters {
  constructor(
    private readonly entries: Pick<ReadonlyMap<string, Parameter>, 'get' | 'has'>,
    private readonly prefix = '',
  ) {}

  /** The parameters whose names start with `prefix`, with the prefix removed. */
  scope(prefix: string): Parameters {
    return new Parameters(this.entries, this.prefix + prefix);
  }

  /** Whether a parameter of that name exists. */
  has(name: string): boolean {
    return this.entries.has(this.prefix + name);
  }

  /**
   * The matrix of that name.
   *
   * @throws ReneError if it is missing
   */
  matrix(name: string): PackedWeight {
    const parameter = this.entries.get(this.prefix + name);
    if (parameter && !(parameter instanceof tf.Tensor)) return parameter;
    throw new ReneError(`no weight matrix named ${this.prefix}${name} was loaded`);
  }

  /**
   * The tensor of that name.
   *
   * @throws ReneError if it is missing
   */
  vector(name: string): tf.Tensor {
    const parameter = this.entries.get(this.prefix + name);
    if (parameter instanceof tf.Tensor) return parameter;
    throw new ReneError(`no parameter tensor named ${this.prefix}${name} was loaded`);
  }

  /** The tensor of that name, if it exists. */
  optionalVector(name: string): tf.Tensor | undefined {
    return this.has(name) ? this.vector(name) : undefined;
  }
}
