// Training options: types, defaults, validation, and which of them a resumed run must share.
import { createHash } from 'node:crypto';
import { InvalidArgumentError, type StoredDType } from '@rene-js/layers';
import type * as tf from '@tensorflow/tfjs-core';
import type { Evaluation } from './evaluate.js';
import type { TokenDocuments } from './token_dataset.js';
import { TrainingError } from './training_error.js';

/** Options of train. */
export interface TrainOptions {
  /** Folder of the run: the model so far, training_state.safetensors, loss.csv, loss.svg. */
  outDir: string;
  /**
   * Total number of optimiser steps, including earlier parts of the run. It may change on resuming: the
   * learning rate then follows the new schedule.
   */
  steps: number;
  /** Rows per step. Default: 16. */
  batchSize?: number | undefined;
  /** Tokens per row. Default: 128. */
  rowLength?: number | undefined;
  /** Micro-batches per step, to save memory; batchSize is a multiple of it. Default: 1. */
  accumulate?: number | undefined;
  /** Gradient checkpointing: recompute each block in the backward pass, to save memory. Default: false. */
  recomputeBlocks?: boolean | undefined;
  /** Maximum learning rate. Default: 3e-3. */
  learningRate?: number | undefined;
  /** Learning rate of the last step. Default: a tenth of learningRate. */
  minLearningRate?: number | undefined;
  /**
   * Steps of linear warm-up. Default: 100, or a tenth of the steps if that is less. A resumed run keeps its
   * own.
   */
  warmupSteps?: number | undefined;
  /** Weight decay of AdamW. Default: 0.1. */
  weightDecay?: number | undefined;
  /** Maximum L2 norm of all gradients together; longer ones are scaled down to it. Default: 1. */
  clipNorm?: number | undefined;
  /**
   * The model in outDir: 'best' has the lowest held-out loss, 'last' is that of the last evaluation (to
   * memorise a text). Default: 'best'.
   */
  keep?: 'best' | 'last' | undefined;
  /** Dtype of the matrices in the saved model; training itself is in f32. Default: 'F32'. */
  saveDType?: StoredDType | undefined;
  /** Seed of the order of documents in each epoch. Default: 'rene'. */
  seed?: string | undefined;
  /** Steps between evaluations on the held-out text. The last step is always evaluated. Default: 250. */
  evaluateEvery?: number | undefined;
  /** Steps between checkpoints. The last step is always saved. Default: 100. */
  checkpointEvery?: number | undefined;
  /**
   * Files of the model by name, such as tokenizer.json. They are written with the first checkpoint, so that
   * a run that fails earlier leaves none. Default: none.
   */
  files?: ReadonlyMap<string, Uint8Array> | undefined;
  /** Saves a checkpoint and returns after the current step. */
  signal?: AbortSignal | undefined;
  /** Called after each step. */
  onStep?: ((report: StepReport) => void) | undefined;
  /** Called after each evaluation on the held-out text. */
  onEvaluation?: ((evaluation: Evaluation & { step: number; best: boolean }) => void) | undefined;
}

/** Report of one step. */
export interface StepReport {
  step: number;
  steps: number;
  /** Mean over the batch, in nats per token. */
  loss: number;
  /** Exponential mean of the loss over about 50 steps, in nats per token. */
  smoothedLoss: number;
  learningRate: number;
  gradientNorm: number;
  /** Number of trained targets since the run's first step. */
  tokens: number;
  tokensPerSecond: number;
  secondsLeft: number;
}

type Optional = 'signal' | 'onStep' | 'onEvaluation';

/** The options with their defaults. */
export type Settings = {
  [Key in keyof Omit<Required<TrainOptions>, Optional>]: Exclude<TrainOptions[Key], undefined>;
} & Pick<TrainOptions, Optional>;

/**
 * The options with defaults, validated.
 *
 * @param saved the settings of the run in outDir, if any
 * @throws InvalidArgumentError for invalid numbers
 */
export function withDefaults(
  options: TrainOptions,
  saved: Readonly<Record<string, number | string>> = {},
): Settings {
  const { steps, learningRate = 3e-3 } = options;
  // The default depends on the steps, which may grow on resuming.
  const warmupSteps =
    typeof saved.warmupSteps === 'number'
      ? saved.warmupSteps
      : Math.min(100, Math.ceil(steps / 10));
  const settings: Settings = {
    outDir: options.outDir,
    steps,
    batchSize: options.batchSize ?? 16,
    rowLength: options.rowLength ?? 128,
    accumulate: options.accumulate ?? 1,
    recomputeBlocks: options.recomputeBlocks ?? false,
    learningRate,
    minLearningRate: options.minLearningRate ?? learningRate / 10,
    warmupSteps: options.warmupSteps ?? warmupSteps,
    weightDecay: options.weightDecay ?? 0.1,
    clipNorm: options.clipNorm ?? 1,
    keep: options.keep ?? 'best',
    saveDType: options.saveDType ?? 'F32',
    seed: options.seed ?? 'rene',
    evaluateEvery: options.evaluateEvery ?? 250,
    checkpointEvery: options.checkpointEvery ?? 100,
    files: options.files ?? new Map(),
    signal: options.signal,
    onStep: options.onStep,
    onEvaluation: options.onEvaluation,
  };
  check(settings);
  return settings;
}

function check(settings: Settings): void {
  const refuse = (key: keyof Settings, expected: string) => {
    throw new InvalidArgumentError(key, expected, String(settings[key]));
  };
  const wholeFrom1 = [
    'steps',
    'batchSize',
    'accumulate',
    'evaluateEvery',
    'checkpointEvery',
  ] as const;
  for (const key of wholeFrom1) {
    if (!Number.isInteger(settings[key]) || settings[key] < 1)
      refuse(key, 'an integer of at least 1');
  }
  for (const key of ['learningRate', 'clipNorm'] as const) {
    if (!(settings[key] > 0 && Number.isFinite(settings[key]))) refuse(key, 'a number above 0');
  }
  for (const key of ['minLearningRate', 'warmupSteps', 'weightDecay'] as const) {
    if (!(settings[key] >= 0 && Number.isFinite(settings[key]))) refuse(key, 'a number from 0');
  }
  const { batchSize, rowLength, accumulate } = settings;
  if (!Number.isInteger(rowLength) || rowLength < 2)
    refuse('rowLength', 'an integer of at least 2');
  if (batchSize % accumulate !== 0) refuse('accumulate', `a divisor of ${batchSize}`);
}

/** Settings that determine a run's weights, besides its number of steps. */
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

/** @throws TrainingError listing the differences */
export function refuseOtherSettings(
  dir: string,
  saved: Record<string, number | string>,
  asked: Record<string, number | string>,
): void {
  const different = Object.keys(asked).filter((key) => saved[key] !== asked[key]);
  if (different.length === 0) return;
  const list = different.map((key) => `${key} ${saved[key]} there, ${asked[key]} here`);
  throw new TrainingError(
    `${dir} contains a run with other settings: ${list.join('; ')}. ` +
      'Use the same settings to resume it, or another folder for a new run',
  );
}
