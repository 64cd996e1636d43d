// What a training is told: its options, their defaults and limits, and what an unfinished run must share.
import { createHash } from 'node:crypto';
import { InvalidArgumentError, type StoredDType } from '@rene-js/layers';
import type * as tf from '@tensorflow/tfjs-core';
import type { Evaluation } from './evaluate.js';
import type { TokenDocuments } from './token_dataset.js';
import { TrainingError } from './training_error.js';

/** What train can be told. */
export interface TrainOptions {
  /** Folder of the run: the model so far, training_state.safetensors, loss.csv, loss.svg. */
  outDir: string;
  /**
   * Optimiser steps in all, those of an earlier part of the run included. A run may go on with another
   * number: the learning rate is from there on that of the new one.
   */
  steps: number;
  /** Rows of a step. 16. */
  batchSize?: number;
  /** Tokens of a row. 128. */
  rowLength?: number;
  /** Parts that a step's rows are computed in, to save memory; batchSize is a multiple of it. 1. */
  accumulate?: number;
  /** Gradient checkpointing: compute each block again on the way back, to save memory. false. */
  recomputeBlocks?: boolean;
  /** The highest rate. 3e-3. */
  learningRate?: number;
  /** The rate of the last step. A tenth of learningRate. */
  minLearningRate?: number;
  /** 100, or a tenth of the steps where that is less. */
  warmupSteps?: number;
  /** Of AdamW. 0.1. */
  weightDecay?: number;
  /** Gradients longer than this together are shortened to it. 1. */
  clipNorm?: number;
  /**
   * Which model outDir holds: the one with the lowest held-out loss, or that of the last evaluation (a text
   * to be known by heart is known best at the end, when other text has become less likely). 'best'.
   */
  keep?: 'best' | 'last';
  /** Of the matrices in the saved model; training itself is in f32. 'F32'. */
  saveDType?: StoredDType;
  /** Shuffles the documents of each epoch. 'rene'. */
  seed?: string;
  /** Steps between evaluations on the held-out text; there is always one at the end. 250. */
  evaluateEvery?: number;
  /** Steps between checkpoints; there is always one at the end. 100. */
  checkpointEvery?: number;
  /** Saves a checkpoint and returns after the current step. */
  signal?: AbortSignal | undefined;
  /** Called after each step. */
  onStep?: (report: StepReport) => void;
  /** Called after each evaluation on the held-out text. */
  onEvaluation?: (evaluation: Evaluation & { step: number; best: boolean }) => void;
}

/** What onStep is told. */
export interface StepReport {
  step: number;
  steps: number;
  /** Mean over the batch, in nats a token. */
  loss: number;
  /** The loss smoothed over some 50 steps. */
  smoothedLoss: number;
  learningRate: number;
  gradientNorm: number;
  /** Targets trained on, since the run's first step. */
  tokens: number;
  tokensPerSecond: number;
  secondsLeft: number;
}

/** The options with their defaults. */
export type Settings = Required<Omit<TrainOptions, 'signal' | 'onStep' | 'onEvaluation'>> &
  Pick<TrainOptions, 'signal' | 'onStep' | 'onEvaluation'>;

/** @throws InvalidArgumentError for numbers that no training can have */
export function withDefaults(options: TrainOptions): Settings {
  const { steps, batchSize = 16, accumulate = 1, learningRate = 3e-3 } = options;
  const settings: Settings = {
    rowLength: 128,
    recomputeBlocks: false,
    minLearningRate: learningRate / 10,
    warmupSteps: Math.min(100, Math.ceil(steps / 10)),
    weightDecay: 0.1,
    clipNorm: 1,
    keep: 'best',
    saveDType: 'F32',
    seed: 'rene',
    evaluateEvery: 250,
    checkpointEvery: 100,
    ...options,
    batchSize,
    accumulate,
    learningRate,
  };
  for (const key of [
    'steps',
    'batchSize',
    'accumulate',
    'evaluateEvery',
    'checkpointEvery',
  ] as const) {
    if (!Number.isInteger(settings[key]) || settings[key] < 1) {
      throw new InvalidArgumentError(key, 'an integer of at least 1', String(settings[key]));
    }
  }
  for (const key of ['learningRate', 'clipNorm'] as const) {
    if (!(settings[key] > 0 && Number.isFinite(settings[key]))) {
      throw new InvalidArgumentError(key, 'a number above 0', String(settings[key]));
    }
  }
  if (batchSize % accumulate !== 0) {
    throw new InvalidArgumentError('accumulate', `a divisor of ${batchSize}`, String(accumulate));
  }
  return settings;
}

/** What decides the weights that a run ends with, beside its number of steps. */
export function fixedSettings(
  settings: Settings,
  training: TokenDocuments,
  variables: ReadonlyMap<string, tf.Variable>,
): Record<string, number | string> {
  const { batchSize, accumulate, rowLength, recomputeBlocks, seed } = settings;
  const { learningRate, minLearningRate, warmupSteps, weightDecay, clipNorm } = settings;
  const { ids, repeats = new Uint8Array() } = training;
  const bytes = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
  const shapes = [...variables].map(([name, { shape }]) => `${name} ${shape.join('x')}`).join();
  return {
    batchSize,
    accumulate,
    rowLength,
    recomputeBlocks: String(recomputeBlocks),
    seed,
    learningRate,
    minLearningRate,
    warmupSteps,
    weightDecay,
    clipNorm,
    trainingText: createHash('sha256').update(bytes).update(repeats).digest('hex').slice(0, 16),
    parameters: createHash('sha256').update(shapes).digest('hex').slice(0, 16),
  };
}

/** @throws TrainingError that lists what differs */
export function refuseOtherSettings(
  dir: string,
  saved: Record<string, number | string>,
  asked: Record<string, number | string>,
): void {
  const different = Object.keys(asked).filter((key) => saved[key] !== asked[key]);
  if (different.length === 0) return;
  const list = different.map((key) => `${key} ${saved[key]} there, ${asked[key]} here`);
  throw new TrainingError(
    `${dir} holds a run with other settings: ${list.join('; ')}. ` +
      'Give the same ones to go on with it, or another folder to start anew',
  );
}
