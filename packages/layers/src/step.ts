// The interface of a compiled decode step: a backend records a model's step once and replays it for each
// token. On a backend without a step compiler, models use forward().
import * as tf from '@tensorflow/tfjs-core';
import type { LayerState } from './layers/layer.js';
import type { MixerParts, NormParts } from './mixer_parts.js';
import type { PackedWeight } from './weights/packed_weight.js';

/** A block: residual + mixer(norm(x)). */
export interface StepModelBlock {
  norm: NormParts;
  mixer: MixerParts;
  /** Reads the input of the block before it, with that block's norm, and adds to its output. Default: false. */
  isParallel?: boolean;
  /** Multiplies the residual stream before the block reads it. Default: 1. */
  streamFactor?: number;
}

/** A model as a sequence of blocks. */
export interface StepModel {
  embedding: PackedWeight;
  /** Multiplies the embedding. Default: 1. */
  embeddingScale?: number;
  blocks: readonly StepModelBlock[];
  normF: NormParts;
  head: PackedWeight;
  headBias?: tf.Tensor | undefined;
  /** Ids from here on are never sampled. */
  vocabSize: number;
}

/** Sampling parameters of a sequence: top k, temperature, top p, min p, applied in this order. */
export interface SamplingParams {
  /** Random number in [0, 1) that selects the token. */
  random: number;
  /** 0 is greedy: the largest logit, with the lowest id among equal ones. */
  temperature: number;
  /** 0 keeps all tokens. Ties with the last kept token are kept too. */
  topK: number;
  /** 0 and 1 keep all tokens. */
  topP: number;
  minP: number;
}

/** Decodes a batch of sequences and holds their states. Sequences can join and leave. */
export interface DecodeStep {
  /** Maximum number of sequences. */
  readonly batch: number;
  /** Current number of sequences, one per row. */
  readonly rows: number;
  /** Number of tokens that each row's state covers, those of a step ahead included. */
  readonly positions: readonly number[];
  /**
   * Appends a sequence.
   *
   * @param states of each block; copied, the caller still owns them
   * @param row the row of the states to copy
   * @param position number of tokens that the sequence has seen
   */
  join(states: readonly (LayerState | null)[], row: number, position: number): void;
  /** Removes a sequence. The last one moves to its row. */
  leave(row: number): void;
  /** Copies of a sequence's states, with batch size 1. The caller disposes them. */
  statesOf(row: number): (LayerState | null)[];
  /**
   * Feeds each sequence a token and samples the next one. Absent if the backend has no kernel for it.
   *
   * @param ahead parameters of the tokens after those. With them the backend may start the next step before
   *   it has read the tokens of this one. Until the next call, which feeds those tokens with these
   *   parameters, sequences may leave; they cannot join or hand out logits. Their states cover a token more.
   * @returns an id for each sequence; -1 if all logits are NaN or, with a temperature, any logit is NaN
   */
  sample?(
    tokens: readonly number[],
    params: readonly SamplingParams[],
    ahead?: readonly SamplingParams[],
  ): Promise<number[]>;
  /** After sample(): the logits from which a sequence's token was sampled, valid until the next call. */
  logitsOf?(row: number): Promise<Float32Array>;
  /** Number of kernel launches per token with the current sequences; they are submitted together. */
  kernels(): number;
  /** Feeds each sequence a token. @returns each sequence's logits, valid until the next call */
  logits(tokens: readonly number[]): Promise<Float32Array[]>;
  /**
   * Feeds a sequence several tokens. Its state stays as it is until accept(). Absent if the backend does not
   * compile such passes.
   *
   * @returns the logits after each token, valid until the next call
   */
  verify?(row: number, tokens: readonly number[]): Promise<Float32Array[]>;
  /** After verify(), before anything else: advances the state by the first `count` of its tokens. */
  accept?(count: number): void;
  /** Copies a state of one sequence to a row. */
  replace(row: number, states: readonly (LayerState | null)[], position: number): void;
  /** Frees the recording and the states. */
  dispose(): void;
}

/**
 * Compiles a model's decode step.
 *
 * @param batch maximum number of sequences
 * @returns undefined if the backend has no kernel for a part of the model
 */
export type StepCompiler = (model: StepModel, batch: number) => DecodeStep | undefined;

const compilers = new Map<string, StepCompiler>();

/** Registers the step compiler of a backend. */
export function registerStepCompiler(backendName: string, compiler: StepCompiler): void {
  compilers.set(backendName, compiler);
}

/**
 * Compiles a decode step on the current backend; undefined if it has no compiler, or no kernel for a part.
 */
export function compileStep(model: StepModel, batch: number): DecodeStep | undefined {
  return compilers.get(tf.getBackend())?.(model, batch);
}

/** Whether a backend compiles steps. Default: the current one. */
export function hasStepCompiler(backendName = tf.getBackend()): boolean {
  return compilers.has(backendName);
}
