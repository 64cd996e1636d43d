// Float64 arrays with a shape: the values of the reference implementations, and their conversion to tensors.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import seedrandom from 'seedrandom';
import { tidily } from './backends.js';

export class Numbers {
  readonly values: Float64Array;

  constructor(
    readonly shape: readonly number[],
    values?: ArrayLike<number>,
  ) {
    const size = shape.reduce((product, axis) => product * axis, 1);
    this.values = values ? Float64Array.from(values) : new Float64Array(size);
    if (this.values.length !== size) throw new RangeError(`${size} numbers expected`);
  }

  at(...index: number[]): number {
    return this.values[this.offset(index)] ?? Number.NaN;
  }

  set(value: number, ...index: number[]): void {
    this.values[this.offset(index)] = value;
  }

  add(value: number, ...index: number[]): void {
    this.set(this.at(...index) + value, ...index);
  }

  map(f: (value: number) => number): Numbers {
    return new Numbers(this.shape, this.values.map(f));
  }

  clone(): Numbers {
    return new Numbers(this.shape, this.values);
  }

  /** As a float32 tensor. The caller disposes it. */
  tensor(): tf.Tensor {
    return tf.tensor(Float32Array.from(this.values), [...this.shape], 'float32');
  }

  private offset(index: readonly number[]): number {
    if (index.length !== this.shape.length) throw new RangeError(`${this.shape} has other axes`);
    return index.reduce((offset, i, axis) => {
      const size = this.shape[axis] ?? 0;
      if (!(i >= 0 && i < size)) throw new RangeError(`index ${index} of shape ${this.shape}`);
      return offset * size + i;
    }, 0);
  }
}

/** Draws arrays of normally distributed values that are exact in float32. */
export class Draw {
  private readonly random: () => number;

  constructor(seed: number) {
    this.random = seedrandom.alea(String(seed));
  }

  normal(shape: readonly number[], scale = 1, mean = 0): Numbers {
    const numbers = new Numbers(shape);
    for (let i = 0; i < numbers.values.length; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - this.random()));
      const value = mean + scale * radius * Math.cos(2 * Math.PI * this.random());
      numbers.values[i] = Math.fround(value);
    }
    return numbers;
  }

  /** Integers from `least` to `below` - 1. */
  integers(count: number, below: number, least = 0): number[] {
    return range(count).map(() => least + Math.floor(this.random() * (below - least)));
  }

  /** Random integers of at least 1 whose sum is `total`. */
  parts(total: number): number[] {
    const parts: number[] = [];
    for (let left = total; left > 0; left -= parts.at(-1) ?? left) {
      parts.push(1 + Math.floor(this.random() * left));
    }
    return parts;
  }
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

export const size = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });

/** RENE_TEST_SEED=2 draws other cases. */
const seed = Number(process.env.RENE_TEST_SEED ?? 1);

/** A test of many random cases from a fixed seed. Tensors of each case are disposed. */
export function property<T>(
  title: string,
  cases: fc.Arbitrary<T>,
  body: (one: T, draw: Draw) => Promise<void>,
  numRuns = 25,
): void {
  it(title, () =>
    fc.assert(
      fc.asyncProperty(cases, fc.nat(), (one, draw) => tidily(() => body(one, new Draw(draw)))),
      { seed, numRuns, endOnFailure: true },
    ),
  );
}

/** Equal within `tolerance` times the largest value, or `tolerance` if all values are below 1. */
export async function expectClose(
  actual: tf.Tensor | undefined,
  expected: Numbers,
  name: string,
  tolerance = 3e-5,
): Promise<void> {
  expect(actual?.shape, `shape of ${name}`).to.deep.equal([...expected.shape]);
  const values = (await actual?.data()) ?? [];
  let worst = 0;
  let largest = 1;
  expected.values.forEach((value, i) => {
    const error = Math.abs((values[i] ?? Number.NaN) - value);
    worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(worst, error);
    largest = Math.max(largest, Math.abs(value));
  });
  expect(worst / largest, name).to.be.below(tolerance);
}

/** The derivative of `f` with respect to each value of `input`, by central differences in float64. */
export function numericGradient(input: Numbers, f: () => number): Numbers {
  const step = 1e-5;
  const { values } = input;
  return new Numbers(
    input.shape,
    values.map((value, i) => {
      values[i] = value + step;
      const above = f();
      values[i] = value - step;
      const below = f();
      values[i] = value;
      return (above - below) / (2 * step);
    }),
  );
}

/** The dot product with fixed values: a loss in which every output has a different weight. */
export function weighted(outputs: readonly Numbers[], weights: readonly Numbers[]): number {
  return outputs.reduce(
    (total, { values }, o) =>
      total + values.reduce((sum, value, i) => sum + value * (weights[o]?.values[i] ?? 0), 0),
    0,
  );
}
