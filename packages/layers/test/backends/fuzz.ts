// Tests of random cases that a backend computes as tfjs's CPU backend does.
import type * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expectSameAsCpu } from './both.js';

/** What a suite of cases needs to know of the backend whose kernels it tries. */
export interface TestedBackend {
  /** Takes it into use. */
  use(): Promise<void>;
  /** Of each random case, unless the case says otherwise. */
  numRuns: number;
}

/** A test: what `run` makes of each case is the same on the backend as on the CPU. */
export type FuzzTest = <T>(
  title: string,
  cases: fc.Arbitrary<T>,
  run: (one: T) => tf.Tensor[],
  options?: { tolerance?: number; numRuns?: number },
) => void;

export function fuzzOn(backend: TestedBackend): FuzzTest {
  return (title, cases, run, { tolerance, numRuns = backend.numRuns } = {}) => {
    it(title, () =>
      fc.assert(
        fc.asyncProperty(cases, (one) => expectSameAsCpu(backend.use, () => run(one), tolerance)),
        { numRuns },
      ),
    );
  };
}

export const integer = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });
