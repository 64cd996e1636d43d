// A whole decode step, compiled once and run again and again: what a model tells a backend, and what
// it gets back. A backend that has none leaves models to their forward().
import * as tf from '@tensorflow/tfjs-core';
import type { Activation } from './kernels.js';
import type { LayerState } from './layers/layer.js';
import type { AttentionMixerSizes, AttentionMixerWeights } from './ops/attention_mixer.js';
import type { GatedMLPWeights } from './ops/gated_mlp.js';
import type { Mamba2MixerSizes, Mamba2MixerWeights } from './ops/mamba2_mixer.js';
import type { PackedWeight } from './weights/packed_weight.js';

/** An RMS norm. */
export interface NormParts {
  /** (dModel) */
  weight: tf.Tensor;
  eps: number;
}

/** What a mixer is made of. */
export type MixerParts =
  | { kind: 'mamba2'; weights: Mamba2MixerWeights; sizes: Mamba2MixerSizes }
  | ({ kind: 'attention' } & AttentionMixerWeights & AttentionMixerSizes)
  | {
      kind: 'mlp';
      weights: GatedMLPWeights;
      activation: Activation;
      /** Of the inner norm. */
      eps: number;
    };

/** A model as a row of blocks, x + mixer(norm(x)). */
export interface StepModel {
  embedding: PackedWeight;
  blocks: readonly { norm: NormParts; mixer: MixerParts }[];
  normF: NormParts;
  head: PackedWeight;
  headBias?: tf.Tensor | undefined;
  /** Ids from here on are never chosen. */
  vocabSize: number;
}

/** How a row's next token is chosen: top k, temperature, top p, min p, in this order. */
export interface Choice {
  /** In [0, 1): which token of the distribution it is. */
  random: number;
  /** 0 is greedy: the largest logit, of equal ones that of the lowest id. */
  temperature: number;
  /** 0 for all. */
  topK: number;
  /** Off at 0 and 1. */
  topP: number;
  minP: number;
}

/** Decodes the rows of a batch, which come and go. It holds their states. */
export interface DecodeStep {
  /** The most rows that it holds. */
  readonly batch: number;
  /** Rows that it holds. */
  readonly rows: number;
  /**
   * Adds a row, behind the others.
   *
   * @param states of each block; copied, they stay the caller's
   * @param row of the states
   * @param position tokens that the row has seen
   */
  join(states: readonly (LayerState | null)[], row: number, position: number): void;
  /** Takes a row out; the last one takes its place. */
  leave(row: number): void;
  /** Copies of a row's states, for a batch of one; the caller disposes them. */
  statesOf(row: number): (LayerState | null)[];
  /**
   * Feeds each row a token and chooses the next; absent where the backend has no kernel for that.
   *
   * @returns an id a row; -1 where no logit is a number or, sampling, some are not
   */
  choose?(tokens: readonly number[], choices: readonly Choice[]): Promise<number[]>;
  /** After choose(): the logits that a row's token was chosen from, valid until the next call. */
  logitsOf?(row: number): Promise<Float32Array>;
  /** Kernels that a token takes with the rows now in it, started together. */
  kernels(): number;
  /** Feeds each row a token. @returns each row's logits, valid until the next call */
  logits(tokens: readonly number[]): Promise<Float32Array[]>;
  /** Frees the recorded step and the states in it. */
  dispose(): void;
}

/**
 * Records a model's decode step for a batch.
 *
 * @returns undefined for a model with a part that it has no kernel for
 */
export type StepCompiler = (model: StepModel, batch: number) => DecodeStep | undefined;

const compilers = new Map<string, StepCompiler>();

/** Makes a backend compile decode steps. */
export function registerStepCompiler(backendName: string, compiler: StepCompiler): void {
  compilers.set(backendName, compiler);
}

/** A step on the current backend; undefined where that cannot compile one. */
export function compileStep(model: StepModel, batch: number): DecodeStep | undefined {
  return compilers.get(tf.getBackend())?.(model, batch);
}

/** Whether the current backend compiles steps. */
export function hasStepCompiler(): boolean {
  return compilers.has(tf.getBackend());
}
