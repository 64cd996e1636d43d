// Argument checks of the public ops. Errors name the argument, the expected and the actual value.
import type * as tf from '@tensorflow/tfjs-core';
import { InvalidArgumentError } from '../errors.js';
import type { PackedWeight } from '../weights/packed_weight.js';

/** An axis: a fixed size, a name that is bound on first use, or null for any size. */
export type Axis = number | string | null;

/**
 * Checks shapes and dtypes of the tensors of an op call. Equal axis names must have equal sizes.
 *
 * @example
 * const shapes = new ShapeChecker('ssdScan');
 * shapes.check('x', x, ['B', 'L', 'H', 'P']);
 * shapes.check('dt', dt, ['B', 'L', 'H']);
 */
export class ShapeChecker {
  private readonly sizes = new Map<string, number>();

  constructor(private readonly op: string) {}

  /** Returns the sizes of the axes. @throws InvalidArgumentError */
  check(
    argument: string,
    tensor: tf.Tensor,
    axes: readonly Axis[],
    dtype: tf.DataType = 'float32',
  ): number[] {
    const name = `${this.op}: ${argument}`;
    if (tensor.dtype !== dtype) throw new InvalidArgumentError(name, dtype, tensor.dtype);
    const { shape } = tensor;
    const fits = shape.length === axes.length && axes.every((axis, i) => this.fits(axis, shape[i]));
    if (!fits)
      throw new InvalidArgumentError(name, `shape ${this.describe(axes)}`, shapeText(shape));
    return shape;
  }

  /** Binds an axis name to a size. */
  bind(axis: string, size: number): void {
    this.sizes.set(axis, size);
  }

  /** The size bound to an axis name. */
  size(axis: string): number {
    const size = this.sizes.get(axis);
    if (size === undefined) throw new Error(`${this.op}: axis ${axis} was never bound`);
    return size;
  }

  private fits(axis: Axis, size: number | undefined): boolean {
    if (size === undefined || size < 1) return false;
    if (axis === null) return true;
    if (typeof axis === 'number') return axis === size;
    const bound = this.sizes.get(axis);
    if (bound === undefined) this.sizes.set(axis, size);
    return bound === undefined || bound === size;
  }

  private describe(axes: readonly Axis[]): string {
    const texts = axes.map((axis) => {
      if (axis === null) return 'any';
      if (typeof axis === 'number') return String(axis);
      const bound = this.sizes.get(axis);
      return bound === undefined ? axis : `${axis}=${bound}`;
    });
    return `[${texts.join(', ')}]`;
  }
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** @throws InvalidArgumentError unless the value is an integer of at least `least` */
export function checkInteger(argument: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new InvalidArgumentError(argument, `an integer of at least ${least}`, String(value));
  }
}

/** @throws InvalidArgumentError unless the tensor is float32 with `size` as its last axis */
export function checkLastAxis(argument: string, tensor: tf.Tensor, size: number): void {
  if (tensor.dtype !== 'float32') {
    throw new InvalidArgumentError(argument, 'float32', tensor.dtype);
  }
  if (tensor.shape.at(-1) !== size) {
    throw new InvalidArgumentError(argument, `shape [..., ${size}]`, shapeText(tensor.shape));
  }
}

/** @throws InvalidArgumentError unless the packed weight has shape (outFeatures, inFeatures) */
export function checkWeight(
  argument: string,
  { shape }: PackedWeight,
  outFeatures: number,
  inFeatures: number,
): void {
  if (shape[0] === outFeatures && shape[1] === inFeatures) return;
  const expected = `shape ${shapeText([outFeatures, inFeatures])}`;
  throw new InvalidArgumentError(argument, expected, shapeText(shape));
}
