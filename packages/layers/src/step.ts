// The contract of a compiled decode step: a backend records a model's step once and replays it for each token.
// On a backend without a step compiler, models use their forward().
import * as tf from '@tensorflow/tfjs-core';
import type { LayerState } from './layers/layer.js';
import type { MixerParts, NormParts } from './mixer_parts.js';
import type { PackedWeight } from './weights/packed_weight.js';

/** A model as a sequence of blocks, x + mixer(norm(x)). */
export interface StepModel {
  embedding: PackedWeight;
  blocks: readonly { norm: NormParts; mixer: MixerParts }[];
  normF: NormParts;
  head: PackedWeight;
  headBias?: tf.Tensor | undefined;
  /** Ids from here on are never sampled. */
  vocabSize: number;
}

/** How a sequence's next token is sampled: top k, temperature, top p, min p, in this order. */
export interface SamplingParams {
  /** In [0, 1): where in the distribution the token is taken. */
  random: number;
  /** 0 is greedy: the largest logit; of equal ones, that of the lowest id. */
  temperature: number;
  /** 0 keeps all tokens. Tokens as probable as the last one kept are kept too. */
  topK: number;
  /** 0 and 1 keep all tokens. */
  topP: number;
  minP: number;
}

/** Decodes a batch of sequences that join and leave. It holds their states. */
export interface DecodeStep {
  /** The most sequences that it holds. */
  readonly batch: number;
  /** Sequences that it holds, one a row. */
  readonly rows: number;
  /**
   * Adds a sequence after the others.
   *
   * @param states of each block; copied, they stay the caller's
   * @param row the row of the states to copy
   * @param position tokens that the sequence has seen
   */
  join(states: readonly (LayerState | null)[], row: number, position: number): void;
  /** Removes a sequence. The last one moves to its row. */
  leave(row: number): void;
  /** Copies of a sequence's states, with a batch of one. The caller disposes them. */
  statesOf(row: number): (LayerState | null)[];
  /**
   * Feeds each sequence a token and samples the next one. Absent if the backend has no kernel for that.
   *
   * @returns an id for each sequence; -1 if no logit is a number or, with a temperature, any logit is NaN
   */
  sample?(tokens: readonly number[], params: readonly SamplingParams[]): Promise<number[]>;
  /** After sample(): the logits from which a sequence's token was sampled, valid until the next call. */
  logitsOf?(row: number): Promise<Float32Array>;
  /** Number of kernels that a token takes with the present sequences; they are started together. */
  kernels(): number;
  /** Feeds each sequence a token. @returns each sequence's logits, valid until the next call */
  logits(tokens: readonly number[]): Promise<Float32Array[]>;
  /** Frees the recording and the states. */
  dispose(): void;
}

/**
 * Compiles a model's decode step.
 *
 * @param batch the most sequences
 * @returns undefined for a model with a part that the backend has no kernel for
 */
export type StepCompiler = (model: StepModel, batch: number) => DecodeStep | undefined;

const compilers = new Map<string, StepCompiler>();

/** Registers the step compiler of a backend. */
export function registerStepCompiler(backendName: string, compiler: StepCompiler): void {
  compilers.set(backendName, compiler);
}

/** Compiles a step on the current backend; undefined if that has no compiler or no kernel for a part. */
export function compileStep(model: StepModel, batch: number): DecodeStep | undefined {
  return compilers.get(tf.getBackend())?.(model, batch);
}

/** Whether a backend compiles steps. Default: the current one. */
export function hasStepCompiler(backendName = tf.getBackend()): boolean {
  return compilers.has(backendName);
}
