// The training loop: steps, evaluations, checkpoints; resumes exactly where a run was stopped.
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { InvalidArgumentError, type StoredDType } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { SaveOptions } from '../checkpoint/save_checkpoint.js';
import { AdamW } from './adamw.js';
import { type Evaluation, evaluate } from './evaluate.js';
import { type LanguageModel, lossAndGradients } from './gradients.js';
import { type LossCurve, openLossCurve } from './loss_curve.js';
import { learningRateAt } from './schedule.js';
import {
  epochRows,
  type TokenBatch,
  type TokenDocuments,
  type TokenRows,
} from './token_dataset.js';
import { TrainingError } from './training_error.js';
import {
  type Progress,
  readProgress,
  removeTemporaryFiles,
  restoreTensors,
  saveTrainingState,
} from './training_state.js';

/** What train can be told. */
export interface TrainOptions {
  /** Folder of the run: the best model so far, training_state.safetensors, loss.csv, loss.svg. */
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

/** What a training came to. */
export interface TrainReport {
  step: number;
  tokens: number;
  seconds: number;
  bestBitsPerByte: number | null;
  /** False when the signal stopped the run before its last step. */
  finished: boolean;
}

/** What can be trained: a model made with `trainable: true`, or a LoraAdapter of one. */
export interface TrainableModel extends LanguageModel {
  /** By parameter name. */
  readonly trainableVariables: Map<string, tf.Variable>;
  /** Writes the model into a folder. */
  save(dir: string, options?: SaveOptions): Promise<void>;
}

/**
 * Trains a model. If outDir holds an unfinished run, goes on with it:
 * the weights become the same, to the bit, as without the interruption (on one backend and machine).
 *
 * The best model by held-out loss is saved to outDir at each evaluation. Every file is replaced as a
 * whole, so that a run killed at any moment can be resumed.
 *
 * @throws TrainingError if the loss diverges, or outDir holds a run with other settings
 */
export async function train(
  model: TrainableModel,
  training: TokenDocuments,
  heldOut: TokenDocuments,
  options: TrainOptions,
): Promise<TrainReport> {
  const run = new Run(model, training, heldOut, withDefaults(options));
  try {
    return await run.train();
  } finally {
    run.dispose();
  }
}

type Settings = Required<Omit<TrainOptions, 'signal' | 'onStep' | 'onEvaluation'>> &
  Pick<TrainOptions, 'signal' | 'onStep' | 'onEvaluation'>;

class Run {
  private readonly variables: Map<string, tf.Variable>;
  private readonly optimizer: AdamW;
  private progress: Progress;
  private rows: { epoch: number; rows: TokenRows } | undefined;

  constructor(
    private readonly model: TrainableModel,
    private readonly training: TokenDocuments,
    private readonly heldOut: TokenDocuments,
    private readonly settings: Settings,
  ) {
    this.variables = model.trainableVariables;
    if (this.variables.size === 0) {
      throw new InvalidArgumentError(
        'model',
        'a model made with { trainable: true }',
        'a fixed one',
      );
    }
    checkIds('training', training, model);
    checkIds('heldOut', heldOut, model);
    this.optimizer = new AdamW(this.variables, { weightDecay: settings.weightDecay });
    this.progress = {
      step: 0,
      epoch: 0,
      row: 0,
      tokens: 0,
      seconds: 0,
      bestBitsPerByte: null,
      smoothedLoss: null,
      lowestLoss: null,
      settings: fixedSettings(settings, training, this.variables),
    };
  }

  async train(): Promise<TrainReport> {
    const { outDir, steps, signal, evaluateEvery, checkpointEvery } = this.settings;
    await mkdir(outDir, { recursive: true });
    await removeTemporaryFiles(outDir);
    await this.resume();
    const curve = await openLossCurve(outDir, this.progress.step);
    while (this.progress.step < steps && !signal?.aborted) {
      await this.step(curve);
      const { step } = this.progress;
      const last = step === steps || signal?.aborted;
      if (step % checkpointEvery === 0 || step % evaluateEvery === 0 || last) {
        await this.checkpoint();
        await curve.draw();
      }
    }
    const { step, tokens, seconds, bestBitsPerByte } = this.progress;
    return { step, tokens, seconds, bestBitsPerByte, finished: step >= steps };
  }

  dispose(): void {
    this.optimizer.dispose();
  }

  private async resume(): Promise<void> {
    const { outDir } = this.settings;
    const saved = await readProgress(outDir);
    if (!saved) return;
    refuseOtherSettings(outDir, saved.settings, this.progress.settings);
    await restoreTensors(outDir, this.stateTensors());
    this.progress = saved;
    this.optimizer.resumeAt(saved.step);
  }

  private async checkpoint(): Promise<void> {
    await saveTrainingState(this.settings.outDir, this.progress, this.stateTensors());
  }

  /** Weights under their own names, and the optimiser's state. */
  private stateTensors(): Map<string, tf.Variable> {
    return new Map([...this.variables, ...this.optimizer.tensors()]);
  }

  private async step(curve: LossCurve): Promise<void> {
    const { settings, progress, optimizer } = this;
    const started = performance.now();
    const batches = this.nextBatches();
    const { loss, norm, gradients } = await lossAndGradients(this.model, this.variables, batches, {
      recompute: settings.recomputeBlocks,
    });
    const learningRate = learningRateAt(progress.step, settings);
    this.checkDivergence(loss, norm);
    optimizer.step(gradients, learningRate, Math.min(1, settings.clipNorm / norm));
    tf.dispose([...gradients.values()]);

    progress.step++;
    const tokens = batches.reduce((sum, batch) => sum + batch.counted, 0);
    progress.tokens += tokens;
    const seconds = (performance.now() - started) / 1000;
    progress.seconds += seconds;
    settings.onStep?.({
      step: progress.step,
      steps: settings.steps,
      loss,
      smoothedLoss: progress.smoothedLoss ?? loss,
      learningRate,
      gradientNorm: norm,
      tokens: progress.tokens,
      tokensPerSecond: tokens / seconds,
      secondsLeft: ((settings.steps - progress.step) * progress.seconds) / progress.step,
    });
    const bitsPerByte = await this.evaluateIfDue();
    await curve.add({
      step: progress.step,
      tokens: progress.tokens,
      loss,
      learningRate,
      gradientNorm: norm,
      bitsPerByte,
      seconds: progress.seconds,
    });
  }

  /** The rows of the next step, in micro-batches; moves on to the next epoch when one is used up. */
  private nextBatches(): TokenBatch[] {
    const { batchSize, accumulate, rowLength, seed } = this.settings;
    const { progress } = this;
    for (;;) {
      if (this.rows?.epoch !== progress.epoch) {
        const rows = epochRows(this.training, rowLength, seed, progress.epoch);
        this.rows = { epoch: progress.epoch, rows };
      }
      const { rows } = this.rows;
      if (rows.count < batchSize) {
        throw new TrainingError(
          `the training text has ${rows.count} rows of ${rowLength} tokens, fewer than one batch of ${batchSize}`,
        );
      }
      if (progress.row + batchSize <= rows.count) {
        const first = progress.row;
        const size = batchSize / accumulate;
        progress.row += batchSize;
        return Array.from({ length: accumulate }, (_, i) =>
          rows.trainingBatch(first + i * size, size),
        );
      }
      progress.epoch++;
      progress.row = 0;
    }
  }

  private async evaluateIfDue(): Promise<number | undefined> {
    const { settings, progress } = this;
    const { step } = progress;
    if (step % settings.evaluateEvery !== 0 && step !== settings.steps) return undefined;
    const evaluation = await evaluate(this.model, this.heldOut, settings);
    const best = evaluation.bitsPerByte < (progress.bestBitsPerByte ?? Number.POSITIVE_INFINITY);
    if (best) {
      progress.bestBitsPerByte = evaluation.bitsPerByte;
      await this.model.save(settings.outDir, { dtype: settings.saveDType });
    }
    settings.onEvaluation?.({ ...evaluation, step, best });
    return evaluation.bitsPerByte;
  }

  /** A run that has gone wrong is stopped with its last good checkpoint intact. */
  private checkDivergence(loss: number, norm: number): void {
    const { progress } = this;
    const smoothed = 0.98 * (progress.smoothedLoss ?? loss) + 0.02 * loss;
    const lowest = Math.min(progress.lowestLoss ?? smoothed, smoothed);
    const diverged = !Number.isFinite(loss + norm) || smoothed > lowest + DIVERGENCE;
    if (diverged) {
      throw new TrainingError(
        `training diverged at step ${progress.step + 1}: loss ${loss}, gradient norm ${norm}, ` +
          `smoothed loss at best ${lowest.toFixed(3)}. The last checkpoint in ` +
          `${this.settings.outDir} is from before. Start again in another folder with a lower ` +
          'learning rate, more warm-up steps or a smaller clipNorm',
      );
    }
    progress.smoothedLoss = smoothed;
    progress.lowestLoss = lowest;
  }
}

/** Nats by which the smoothed loss may rise above its lowest: far more than an unlucky stretch. */
const DIVERGENCE = 1.5;

function withDefaults(options: TrainOptions): Settings {
  const { steps, batchSize = 16, accumulate = 1, learningRate = 3e-3 } = options;
  const settings: Settings = {
    rowLength: 128,
    recomputeBlocks: false,
    minLearningRate: learningRate / 10,
    warmupSteps: Math.min(100, Math.ceil(steps / 10)),
    weightDecay: 0.1,
    clipNorm: 1,
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

/** A tokenizer that is not the model's shows here, and not as nonsense later. */
function checkIds(argument: string, { ids }: TokenDocuments, { config }: TrainableModel): void {
  let largest = 0;
  for (const id of ids) if (id > largest) largest = id;
  if (largest < config.vocabSize) return;
  throw new InvalidArgumentError(
    argument,
    `token ids below the model's vocabulary of ${config.vocabSize}`,
    `${largest}; is the tokenizer the model's own?`,
  );
}

/** What decides the weights that a run ends with, beside its number of steps. */
function fixedSettings(
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

function refuseOtherSettings(
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
