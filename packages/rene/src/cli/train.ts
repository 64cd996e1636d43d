// `rene train`: a new model from a text file, or fine-tuning of one, whole or by LoRA.
import { copyFile, mkdir } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { fileExists } from '../checkpoint/node_files.js';
import { readConfig } from '../config.js';
import { ReneLMHeadModel } from '../model.js';
import { Tokenizer } from '../tokenizer.js';
import { LoraAdapter } from '../training/lora.js';
import { trainingProgress } from '../training/progress_bar.js';
import { readLines, tokenize, tokenizerFor } from '../training/text_files.js';
import { tinyConfig } from '../training/tiny_config.js';
import { splitTexts } from '../training/token_dataset.js';
import { type TrainableModel, train } from '../training/trainer.js';
import { TrainingError } from '../training/training_error.js';
import type { TrainOptions } from '../training/training_settings.js';
import { UsageError } from './report_error.js';

interface Options {
  data: string;
  validation?: string;
  heldOut: number;
  repeat?: RegExp;
  repeatTimes: number;
  out: string;
  config?: string;
  model?: string;
  tokenizer?: string;
  vocabSize: number;
  lora: boolean;
  loraRank: number;
  loraAlpha?: number;
  merge?: string;
  backend?: string;
  keep: 'best' | 'last';
  saveDtype: 'f32' | 'bf16' | 'f16';
  seed: string;
  steps: number;
  batchSize: number;
  rowLength: number;
  accumulate: number;
  recomputeBlocks: boolean;
  learningRate?: number;
  minLearningRate?: number;
  warmupSteps?: number;
  weightDecay: number;
  clipNorm: number;
  evaluateEvery: number;
  checkpointEvery: number;
}

const SAVED_DTYPES = { f32: 'F32', bf16: 'BF16', f16: 'F16' } as const;

export function addTrain(program: Command): void {
  program
    .command('train')
    .description('train a model on a text file, or fine-tune one; the same command resumes a run')
    .requiredOption('--data <file>', 'training text, a document a line')
    .requiredOption('--out <dir>', 'folder of the run: the model, checkpoint, loss curve')
    .option('--validation <file>', 'held-out text; a part of --data unless given')
    .option('--held-out <share>', 'part of --data that is held out', positive, 0.02)
    .option('--repeat <pattern>', 'training lines that match this regular expression come', pattern)
    .option('--repeat-times <n>', '... so many times in an epoch', whole, 2)
    .option('--config <name>', "a new model's sizes: tiny, or a folder with a config.json")
    .option('--model <dir>', 'the model to fine-tune')
    .option('--tokenizer <path>', 'tokenizer.json, or a folder with one')
    .option('--vocab-size <n>', 'of the tokenizer trained for a new model', whole, 2048)
    .option('--lora', 'train low-rank corrections only, saved as an adapter', false)
    .option('--lora-rank <n>', 'their rank', whole, 8)
    .option('--lora-alpha <x>', 'their weight times the rank; twice the rank', positive)
    .option('--merge <dir>', 'with --lora: save the corrected model here at the end')
    .option('--steps <n>', 'optimiser steps in all', whole, 2000)
    .option('--batch-size <n>', 'rows of a step', whole, 16)
    .option('--row-length <n>', 'tokens of a row', whole, 128)
    .option('--accumulate <n>', 'parts that the rows of a step are computed in', whole, 1)
    .option('--recompute-blocks', 'gradient checkpointing: less memory, more time', false)
    .option('--learning-rate <x>', 'the highest; 3e-3, to fine-tune 1e-4, LoRA 1e-3', positive)
    .option('--min-learning-rate <x>', 'of the last step; a tenth of the highest', positive)
    .option('--warmup-steps <n>', '100, or a tenth of the steps', whole)
    .option('--weight-decay <x>', 'of AdamW', notNegative, 0.1)
    .option('--clip-norm <x>', 'longest gradient', positive, 1)
    .option('--evaluate-every <n>', 'steps between evaluations', whole, 250)
    .option('--checkpoint-every <n>', 'steps between checkpoints', whole, 100)
    .addOption(
      new Option('--keep <which>', 'model in --out: the best by held-out loss, or the last')
        .choices(['best', 'last'])
        .default('best'),
    )
    .addOption(
      new Option('--save-dtype <dtype>', 'of the matrices in the saved model')
        .choices(['f32', 'bf16', 'f16'])
        .default('f32'),
    )
    .option('--seed <text>', 'of weights and order', 'rene')
    .option('--backend <name>', 'tfjs backend: auto, cpu, simd, tensorflow, ...', 'auto')
    .action(run);
}

async function run(options: Options): Promise<void> {
  checkCombination(options);
  await mkdir(options.out, { recursive: true });
  const texts = await readLines(options.data);
  const [trainingTexts, heldOutTexts] = options.validation
    ? [texts, await readLines(options.validation)]
    : splitTexts(texts, options.heldOut, options.seed);
  const tokenizer = await chooseTokenizer(options, trainingTexts);
  const { repeat, repeatTimes } = options;
  const times = repeat && ((text: string) => (repeat.test(text) ? repeatTimes : 1));
  const training = tokenize(trainingTexts, tokenizer, times);
  const heldOut = tokenize(heldOutTexts, tokenizer);
  const counts = [training, heldOut].map(({ ids }) => ids.length.toLocaleString('en'));
  console.error(`${counts[0]} tokens to train on, ${counts[1]} held out`);

  const model = await startModel(options, tokenizer);
  const trainable = options.lora ? createAdapter(model, options) : model;
  try {
    const finished = await runTraining(trainable, training, heldOut, options);
    if (finished && options.merge) await saveMerged(model, options, options.merge);
  } finally {
    if (trainable instanceof LoraAdapter) trainable.dispose();
    model.dispose();
  }
}

function checkCombination({ model, config, lora, merge }: Options): void {
  if ((model === undefined) === (config === undefined)) {
    throw new UsageError(
      'expected --model DIR (to fine-tune it) or --config tiny (for a new one), found ' +
        (model === undefined ? 'neither' : 'both'),
    );
  }
  if (lora && !model) throw new UsageError('--lora: expected the --model that it corrects');
  if (merge && !lora) throw new UsageError('--merge: expected --lora with it');
}

/** The given one, else the model's, else one trained on the text; kept in the run's folder. */
async function chooseTokenizer(options: Options, texts: readonly string[]): Promise<Tokenizer> {
  const { out, tokenizer, model, vocabSize } = options;
  const given = tokenizer ?? model;
  if (given === undefined) return tokenizerFor(out, texts, vocabSize);
  const path = given.endsWith('.json') ? given : `${given}/tokenizer.json`;
  if (!(await fileExists(path))) {
    throw new TrainingError(`there is no ${path}: give the model's tokenizer with --tokenizer`);
  }
  await copyFile(path, `${out}/tokenizer.json`);
  return Tokenizer.fromFile(path);
}

async function startModel(options: Options, tokenizer: Tokenizer): Promise<ReneLMHeadModel> {
  const { model, config = 'tiny', backend, seed } = options;
  if (model) return ReneLMHeadModel.fromPretrained(model, { backend, trainable: true });
  const sizes = config === 'tiny' ? tinyConfig(tokenizer.vocabSize) : await readConfig(config);
  if (sizes.paddedVocabSize < tokenizer.vocabSize) {
    throw new TrainingError(
      `${config}/config.json: vocab_size: expected at least the tokenizer's ` +
        `${tokenizer.vocabSize}, found ${sizes.vocabSize}`,
    );
  }
  return ReneLMHeadModel.fromConfig(sizes, { backend, trainable: true, seed });
}

function createAdapter(model: ReneLMHeadModel, { loraRank, loraAlpha, seed }: Options) {
  return LoraAdapter.create(model, { rank: loraRank, alpha: loraAlpha ?? 2 * loraRank, seed });
}

/** Ctrl-C ends the step, saves and returns false; a second one ends the program. */
async function runTraining(
  model: TrainableModel,
  training: Parameters<typeof train>[1],
  heldOut: Parameters<typeof train>[2],
  options: Options,
): Promise<boolean> {
  const { learningRate = options.lora ? 1e-3 : options.model ? 1e-4 : 3e-3 } = options;
  const { steps, batchSize, rowLength, accumulate, recomputeBlocks } = options;
  const { weightDecay, clipNorm } = options;
  const { evaluateEvery, checkpointEvery, seed, minLearningRate, warmupSteps, keep } = options;
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt);
  const progress = trainingProgress();
  const settings: TrainOptions = {
    outDir: options.out,
    steps,
    batchSize,
    rowLength,
    accumulate,
    recomputeBlocks,
    learningRate,
    weightDecay,
    clipNorm,
    evaluateEvery,
    checkpointEvery,
    seed,
    keep,
    saveDType: SAVED_DTYPES[options.saveDtype],
    ...(minLearningRate !== undefined && { minLearningRate }),
    ...(warmupSteps !== undefined && { warmupSteps }),
    signal: stop.signal,
    ...progress,
  };
  try {
    const report = await train(model, training, heldOut, settings);
    progress.stop();
    const best = report.bestBitsPerByte?.toFixed(4) ?? 'not measured';
    console.error(
      report.finished
        ? `done: ${report.tokens.toLocaleString('en')} tokens in ${Math.round(report.seconds)} s, ` +
            `held out ${best} bits a byte at best; the ${keep} model is saved in ${options.out}`
        : `stopped after step ${report.step}; the same command goes on from there`,
    );
    if (!report.finished) process.exitCode = 130;
    return report.finished;
  } finally {
    progress.stop();
    process.removeListener('SIGINT', interrupt);
  }
}

/** The run's adapter as saved, merged into the model it corrects. */
async function saveMerged(
  model: ReneLMHeadModel,
  { out, saveDtype }: Options,
  dir: string,
): Promise<void> {
  const adapter = await LoraAdapter.load(model, out);
  adapter.merge();
  await model.save(dir, { dtype: SAVED_DTYPES[saveDtype] });
  await copyFile(`${out}/tokenizer.json`, `${dir}/tokenizer.json`);
  console.error(`merged model saved in ${dir}`);
}

function whole(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('expected a whole number from 1');
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text, 'u');
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('expected a number above 0');
}

function notNegative(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('expected a number from 0');
}
