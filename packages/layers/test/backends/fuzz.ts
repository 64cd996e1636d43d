// Property tests that compare a backend with tfjs's CPU backend.
import type * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expectSameAsCpu } from './both.js';

/** What a suite of cases needs from the tested backend. */
export interface TestedBackend {
  /** Makes it the current backend. */
  use(): Promise<void>;
  /** Default tolerance of a case. */
  numRuns: number;
}

/** A test: `run` returns the same for each case on the backend and on the CPU. */
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
