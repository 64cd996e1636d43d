// One check of a verification: the distance of two tensors.
import type * as tf from '@tensorflow/tfjs-core';

/** One line of `rene verify`. */
export interface Check {
  /** Folder or file of the reference. */
  readonly source: string;
  /** What is compared. */
  readonly name: string;
  /** The largest error: absolute, or relative to the largest reference value. NaN counts as Infinity. */
  readonly error: number;
  readonly tolerance: number;
  /** Whether the error is relative to the largest reference value. */
  readonly relative: boolean;
  /** Where the largest error is, or the reason of a failure. */
  readonly detail: string;
}

export function passed({ error, tolerance }: Check): boolean {
  return error <= tolerance;
}

export interface Tolerances {
  /** Hidden states, logits, states. */
  values: number;
  /** Gradients of a model's parameters. */
  gradients: number;
  /** Single ops and their gradients. */
  ops: number;
  /** Probabilities of the samplers, which are computed in float64. */
  sampling: number;
}

/** Absolute tolerances of float32 against float64 references. */
export const defaultTolerances: Tolerances = {
  values: 1e-4,
  gradients: 5e-5,
  ops: 3e-5,
  sampling: 1e-9,
};

export interface VerifyOptions {
  tolerances: Tolerances;
  /** Divide each error by the largest value of its reference tensor. */
  relative: boolean;
}

/** Tolerances where matmuls round both factors to 16 bits, relative to the largest value. */
const ROUNDED_TOLERANCE = 1e-2;

/** Tolerances for a model's values on a backend whose matmuls round activations. */
export function forRoundedProducts({ tolerances }: VerifyOptions): VerifyOptions {
  const values = Math.max(tolerances.values, ROUNDED_TOLERANCE);
  return { relative: true, tolerances: { ...tolerances, values } };
}

/** Collects the errors of the tensors of one check and keeps the largest. */
export class WorstError {
  private error = 0;
  private where = '';
  private compared = 0;

  constructor(private readonly relative: boolean) {}

  async add(where: string, actual: tf.Tensor, expected: tf.Tensor): Promise<void> {
    if (actual.shape.join() !== expected.shape.join()) {
      this.note(
        `${where}: shape [${actual.shape.join(', ')}], expected [${expected.shape.join(', ')}]`,
        Number.POSITIVE_INFINITY,
      );
      return;
    }
    const [a, e] = await Promise.all([actual.data(), expected.data()]);
    this.addValues(where, a, e);
  }

  addValues(where: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
    let worst = actual.length === expected.length ? 0 : Number.POSITIVE_INFINITY;
    let largest = 0;
    for (let i = 0; i < expected.length; i++) {
      const reference = expected[i] ?? Number.NaN;
      const error = Math.abs((actual[i] ?? Number.NaN) - reference);
      if (!(error <= worst)) worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
      largest = Math.max(largest, Math.abs(reference));
    }
    this.note(where, this.relative && largest > 0 ? worst / largest : worst);
  }

  toCheck(source: string, name: string, tolerance: number): Check {
    const nothing = this.compared === 0;
    return {
      source,
      name,
      error: nothing ? Number.POSITIVE_INFINITY : this.error,
      tolerance,
      relative: this.relative,
      detail: nothing ? 'nothing to compare' : `${this.where} (of ${this.compared})`,
    };
  }

  private note(where: string, error: number): void {
    this.compared++;
    if (error > this.error || this.where === '') {
      this.error = error;
      this.where = where;
    }
  }
}

/** The number of ids that differ, as a check without tolerance. */
export function checkIds(
  source: string,
  name: string,
  pairs: readonly { where: string; actual: readonly number[]; expected: readonly number[] }[],
): Check {
  const wrong = pairs.filter(({ actual, expected }) => actual.join() !== expected.join());
  const [first] = wrong;
  const at = first ? firstDifference(first.actual, first.expected) : 0;
  return {
    source,
    name,
    error: pairs.length === 0 ? Number.POSITIVE_INFINITY : wrong.length,
    tolerance: 0,
    relative: false,
    detail: first
      ? `${first.where}: position ${at}, expected ${first.expected[at]}, found ${first.actual[at]}`
      : `${pairs.length} sequences`,
  };
}

/** The first position at which two lists differ. They may have different lengths. */
function firstDifference(a: readonly number[], b: readonly number[]): number {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return length;
}
