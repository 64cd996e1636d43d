// What a layer's parameters are called, how large they are, how they start; and the loaded ones.
import * as tf from '@tensorflow/tfjs-core';
import { ReneError } from '../errors.js';
import type { PackedWeight } from '../weights/packed_weight.js';
import type { Initializer } from './initializers.js';

/** A parameter as a checkpoint names it. */
export interface ParameterSpec {
  readonly name: string;
  /** The shape in the checkpoint file. */
  readonly shape: readonly number[];
  /** A 'matrix' is packed by the backend, in any weight format; a 'vector' stays a f32 tensor. */
  readonly kind: 'matrix' | 'vector';
  readonly init: Initializer;
}

/** Puts a layer's parameters under a prefix: 'weight' of 'mixer.in_proj.' is 'mixer.in_proj.weight'. */
export function withPrefix(prefix: string, specs: readonly ParameterSpec[]): ParameterSpec[] {
  return specs.map((spec) => ({ ...spec, name: prefix + spec.name }));
}

/** A matrix as its backend holds it, or a vector as a plain tensor. */
export type Parameter = PackedWeight | tf.Tensor;

/** Loaded parameters by name. Layers take theirs from it; whoever loaded them frees them. */
export class Parameters {
  constructor(
    private readonly entries: ReadonlyMap<string, Parameter>,
    private readonly prefix = '',
  ) {}

  /** The parameters whose names start with `prefix`, without it. */
  scope(prefix: string): Parameters {
    return new Parameters(this.entries, this.prefix + prefix);
  }

  /** Whether there is one of that name. */
  has(name: string): boolean {
    return this.entries.has(this.prefix + name);
  }

  /**
   * The matrix of that name.
   *
   * @throws ReneError where there is none
   */
  matrix(name: string): PackedWeight {
    const parameter = this.entries.get(this.prefix + name);
    if (parameter && !(parameter instanceof tf.Tensor)) return parameter;
    throw new ReneError(`no weight matrix named ${this.prefix}${name} was loaded`);
  }

  /**
   * The tensor of that name.
   *
   * @throws ReneError where there is none
   */
  vector(name: string): tf.Tensor {
    const parameter = this.entries.get(this.prefix + name);
    if (parameter instanceof tf.Tensor) return parameter;
    throw new ReneError(`no parameter tensor named ${this.prefix}${name} was loaded`);
  }

  /** The tensor of that name, if there is one. */
  optionalVector(name: string): tf.Tensor | undefined {
    return this.has(name) ? this.vector(name) : undefined;
  }
}
