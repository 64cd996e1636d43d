// Models and helpers for tests of generation.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ReneLMHeadModel } from '@rene-js/rene';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';

/** The repository's root, relative to the compiled test. */
const root = new URL('../../../', import.meta.url);

export const goldenModels = ['tiny-hybrid', 'tiny-gqa', 'tiny-options', 'tiny-mamba2', 'tiny-bf16'];

export function goldenPath(name: string): string {
  return fileURLToPath(new URL(`goldens/${name}`, root));
}

/** The first of RENE_TEST_BACKENDS. Default: the fastest backend that is always available. */
export const [testBackend = 'simd'] = process.env.RENE_TEST_BACKENDS?.split(',') ?? [];

export function loadGolden(name: string): Promise<ReneLMHeadModel> {
  return ReneLMHeadModel.fromPretrained(goldenPath(name), { backend: testBackend, dtype: 'f32' });
}

export function readGoldenJson<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`goldens/${path}`, root), 'utf8'));
}

/** Runs a function and requires that it leaks no tensors. */
export async function leavesNothing<T>(run: () => Promise<T>): Promise<T> {
  const before = tf.memory().numTensors;
  const result = await run();
  expect(tf.memory().numTensors).to.equal(before);
  return result;
}

/** The error with which a promise is rejected. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('expected a rejection');
}
