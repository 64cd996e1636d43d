// The training loop: steps, evaluations, checkpoints, and exact resumption.
import { InvalidArgumentError } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { SaveOptions } from '../checkpoint/save_checkpoint.js';
import { AdamW } from './adamw.js';
import { evaluate } from './evaluate.js';
import { type LanguageModel, lossAndGradients } from './gradients.js';
import { type LossCurve, openLossCurve } from './loss_curve.js';
import { refuseForeignFolder, withRunFolder, writeMissing } from './run_folder.js';
import { learningRateAt } from './schedule.js';
import {
  epochRows,
  type TokenBatch,
  type TokenDocuments,
  type TokenRows,
} from './token_dataset.js';
import { TrainingError } from './training_error.js';
import {
  fixedSettings,
  refuseOtherSettings,
  type Settings,
  type TrainOptions,
  withDefaults,
} from './training_settings.js';
import {
  type Progress,
  readProgress,
  removeTemporaryFiles,
  restoreTensors,
  saveTrainingState,
} from './training_state.js';

/** The result of a training run. */
export interface TrainReport {
  step: number;
  tokens: number;
  seconds: number;
  bestBitsPerByte: number | null;
  /** False if the signal stopped the run early. */
  finished: boolean;
}

/** A trainable model: one made with `trainable: true`, or its LoraAdapter. */
export interface TrainableModel extends LanguageModel {
  /** By parameter name. */
  readonly trainableVariables: Map<string, tf.Variable>;
  /** Writes the model into a folder. */
  save(dir: string, options?: SaveOptions): Promise<void>;
}

/**
 * Trains a model. Resumes an unfinished run in outDir: the weights are bitwise identical to those of an
 * uninterrupted run (on one backend and machine).
 *
 * The model is saved to outDir at each evaluation, unless the best one is to be kept and an earlier one had
 * a lower held-out loss. Files are replaced atomically, so that a run can be resumed after a kill at any
 * moment. Only one process can train in a folder.
 *
 * @throws TrainingError if the text is too small for a batch, the loss diverges, another process trains in
 *   outDir, or outDir contains a run with other settings or another model
 * @throws FileError if outDir cannot be written
 */
export async function train(
  model: TrainableModel,
  training: TokenDocuments,
  heldOut: TokenDocuments,
  options: TrainOptions,
): Promise<TrainReport> {
  const saved = await readProgress(options.outDir);
  const run = new Run(model, training, heldOut, withDefaults(options, saved?.settings));
  try {
    return await run.train();
  } finally {
    run.dispose();
  }
}

class Run {
  private readonly variables: Map<string, tf.Variable>;
  private readonly optimizer: AdamW;
  private progress: Progress;
  private rows: { epoch: number; rows: TokenRows } | undefined;
  private hasCheckpoint = false;

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
        'a model that is not trainable',
      );
    }
    checkRows(training, settings);
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

  train(): Promise<TrainReport> {
    return withRunFolder(this.settings.outDir, () => this.trainLocked());
  }

  private async trainLocked(): Promise<TrainReport> {
    const { outDir, steps, signal, checkpointEvery } = this.settings;
    await this.resume();
    await removeTemporaryFiles(outDir);
    const curve = await openLossCurve(outDir, this.progress.step);
    if (this.progress.step >= steps) await this.saveLastOfFinished();
    while (this.progress.step < steps && !signal?.aborted) {
      // Save the run before its model, so that a kill never leaves a model alone.
      if (!this.hasCheckpoint && this.isEvaluated(this.progress.step + 1)) await this.checkpoint();
      await this.step(curve);
      const { step } = this.progress;
      if (step % checkpointEvery === 0 || this.isEvaluated(step) || signal?.aborted) {
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
    const { outDir, files } = this.settings;
    const saved = await readProgress(outDir);
    if (!saved) return refuseForeignFolder(outDir, files);
    refuseOtherSettings(outDir, saved.settings, this.progress.settings);
    await restoreTensors(outDir, this.stateTensors());
    await writeMissing(outDir, files);
    this.progress = saved;
    this.optimizer.resumeAt(saved.step);
    this.hasCheckpoint = true;
  }

  private async checkpoint(): Promise<void> {
    const { outDir, files } = this.settings;
    await saveTrainingState(outDir, this.progress, this.stateTensors());
    // After the state, since files without a run would block another run.
    if (!this.hasCheckpoint) await writeMissing(outDir, files);
    this.hasCheckpoint = true;
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

  /** The rows of the next step, in micro-batches; continues with the next epoch at the end. */
  private nextBatches(): TokenBatch[] {
    const { batchSize, accumulate, rowLength, seed } = this.settings;
    const { progress } = this;
    // The number of rows of an epoch depends on the order of documents, so that a short epoch may have no
    // batch.
    for (let left = MAX_SHORT_EPOCHS; left > 0; left--) {
      if (this.rows?.epoch !== progress.epoch) {
        const rows = epochRows(this.training, rowLength, seed, progress.epoch);
        this.rows = { epoch: progress.epoch, rows };
      }
      const { rows } = this.rows;
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
    throw tooSmall(this.rows?.rows.count ?? 0, this.settings);
  }

  private async evaluateIfDue(): Promise<number | undefined> {
    return this.isEvaluated(this.progress.step) ? this.evaluate() : undefined;
  }

  private isEvaluated(step: number): boolean {
    return step % this.settings.evaluateEvery === 0 || step === this.settings.steps;
  }

  private async evaluate(): Promise<number> {
    const { settings, progress } = this;
    const { step } = progress;
    const evaluation = await evaluate(this.model, this.heldOut, settings);
    const { bitsPerByte } = evaluation;
    const lowest = progress.bestBitsPerByte ?? Number.POSITIVE_INFINITY;
    const best = bitsPerByte < lowest;
    // Not necessarily the best one: the run may have used keep: 'last' before.
    const kept = progress.saved?.bitsPerByte ?? lowest;
    if (settings.keep === 'last' || bitsPerByte < kept) {
      await this.model.save(settings.outDir, { dtype: settings.saveDType });
      progress.saved = { step, bitsPerByte };
    }
    if (best) progress.bestBitsPerByte = bitsPerByte;
    settings.onEvaluation?.({ ...evaluation, step, best });
    return bitsPerByte;
  }

  /** A finished run that kept the best model is asked for the last one. */
  private async saveLastOfFinished(): Promise<void> {
    const { step, saved } = this.progress;
    if (this.settings.keep !== 'last' || saved?.step === step) return;
    await this.evaluate();
    await this.checkpoint();
  }

  /** Stops a diverged run and keeps its last good checkpoint. */
  private checkDivergence(loss: number, norm: number): void {
    const { progress } = this;
    const smoothed = 0.98 * (progress.smoothedLoss ?? loss) + 0.02 * loss;
    const lowest = Math.min(progress.lowestLoss ?? smoothed, smoothed);
    const diverged = !Number.isFinite(loss + norm) || smoothed > lowest + DIVERGENCE;
    if (diverged) {
      throw new TrainingError(
        `training diverged at step ${progress.step + 1}: loss ${loss}, gradient norm ${norm}, ` +
          `smoothed loss at best ${lowest.toFixed(3)}. ` +
          (this.hasCheckpoint
            ? `The last checkpoint in ${this.settings.outDir} is from before. Start again in another folder`
            : 'There is no checkpoint yet. Start again') +
          ' with a lower learning rate, more warm-up steps or a smaller clipNorm',
      );
    }
    progress.smoothedLoss = smoothed;
    progress.lowestLoss = lowest;
  }
}

/** Maximum number of consecutive epochs with too few rows for a batch. */
const MAX_SHORT_EPOCHS = 100;

/**
 * Checks that the first epoch has enough rows for a batch.
 *
 * @throws TrainingError
 */
export function checkRows(
  training: TokenDocuments,
  settings: Pick<Settings, 'batchSize' | 'rowLength' | 'seed'>,
): void {
  const { count } = epochRows(training, settings.rowLength, settings.seed, 0);
  if (count < settings.batchSize) throw tooSmall(count, settings);
}

function tooSmall(
  count: number,
  { batchSize, rowLength }: Pick<Settings, 'batchSize' | 'rowLength'>,
): TrainingError {
  return new TrainingError(
    `the training text has ${count} rows of ${rowLength} tokens, fewer than one batch of ${batchSize}: ` +
      'use more text, or a smaller batch size or row length',
  );
}

/** Nats by which the smoothed loss may rise above its minimum: far beyond noise. */
const DIVERGENCE = 1.5;

/** A tokenizer of another model is detected here. */
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
