// The options of `rene train`.

import type { TrainOptions } from '@rene-js/rene/training';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { DOCUMENT_FORMATS, type DocumentFormat } from '../training/document_formats.js';
import { backendOption } from './backend_option.js';
import { addThreadsOption } from './model_options.js';
import { UsageError } from './report_error.js';

export interface TrainCommandOptions {
  data: string;
  dataFormat: DocumentFormat;
  textField: string;
  validation?: string;
  heldOut: number;
  repeat?: RegExp;
  repeatTimes: number;
  out: string;
  config?: string;
  model?: string;
  revision?: string;
  tokenizer?: string;
  vocabSize: number;
  lora: boolean;
  loraRank: number;
  loraAlpha?: number;
  merge?: string;
  force: boolean;
  backend?: string;
  threads?: number;
  keep: 'best' | 'last';
  saveDtype: keyof typeof SAVED_DTYPES;
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

export const SAVED_DTYPES = { f32: 'F32', bf16: 'BF16', f16: 'F16' } as const;

export function addTrain(program: Command): Command {
  const command = program
    .command('train')
    .description('train a model on documents, or fine-tune one; the same command resumes a run');
  addTrainOptions(command);
  command.addHelpText(
    'after',
    `
A text file has one document per line. JSONL, CSV and Parquet files have one per row, in the field "text".
Ctrl-C, SIGTERM and SIGHUP save a checkpoint and end the run; run the same command again to continue.`,
  );
  return command;
}

export function addTrainOptions(command: Command): Command {
  command
    .requiredOption(
      '--data <file>',
      'training documents: text, one per line; or JSONL, CSV or Parquet',
    )
    .addOption(
      new Option('--data-format <format>', 'format of --data; auto: by extension and content')
        .choices(DOCUMENT_FORMATS)
        .default('auto'),
    )
    .option(
      '--text-field <name>',
      'field or column of JSONL, CSV or Parquet that contains the text',
      'text',
    )
    .requiredOption('--out <dir>', 'output folder: the model, checkpoint and loss curve')
    .option('--validation <file>', 'held-out documents (default: a part of --data)')
    .option('--held-out <share>', 'fraction of --data to hold out', positive, 0.02)
    .option(
      '--repeat <pattern>',
      'repeat training documents that match this regular expression',
      pattern,
    )
    .option(
      '--repeat-times <n>',
      'occurrences per epoch of documents that match --repeat',
      repeats,
      2,
    )
    .option('--config <name>', 'configuration of a new model: tiny, or a folder with a config.json')
    .option('-m, --model <dir>', 'model to fine-tune: folder, hub id or rene-tiny')
    .option('--revision <name>', "a hub id's branch, tag or commit (default: main)")
    .option(
      '--tokenizer <path>',
      "tokenizer.json, a folder with one, or a hub id (default: the model's, or a new one)",
    )
    .option('--vocab-size <n>', 'vocabulary size of the tokenizer of a new model', whole, 2048)
    .option('--lora', 'train low-rank adapters only (LoRA)', false)
    .option('--lora-rank <n>', 'rank of the adapters', whole, 8)
    .option(
      '--lora-alpha <x>',
      'alpha of the adapters; their scale is alpha / rank (default: twice the rank)',
      positive,
    )
    .option('--merge <dir>', 'with --lora: save the merged model here at the end')
    .option('--force', 'replace an existing model in the --merge folder', false)
    .option('--steps <n>', 'total number of optimiser steps', whole, 2000)
    .option('--batch-size <n>', 'rows per step', whole, 16)
    .option('--row-length <n>', 'tokens per row', whole, 128)
    .option('--accumulate <n>', 'micro-batches per step', whole, 1)
    .option('--recompute-blocks', 'gradient checkpointing: less memory, more time', false)
    .option(
      '--learning-rate <x>',
      'maximum learning rate (default: 3e-3; fine-tuning 1e-4, LoRA 1e-3)',
      positive,
    )
    .option(
      '--min-learning-rate <x>',
      'learning rate of the last step (default: a tenth)',
      notNegative,
    )
    .option(
      '--warmup-steps <n>',
      'warm-up steps (default: 100, or a tenth of the steps)',
      wholeFrom0,
    )
    .option('--weight-decay <x>', 'weight decay of AdamW', notNegative, 0.1)
    .option('--clip-norm <x>', 'maximum norm of the gradients', positive, 1)
    .option('--evaluate-every <n>', 'steps between evaluations', whole, 250)
    .option('--checkpoint-every <n>', 'steps between checkpoints', whole, 100)
    .addOption(
      new Option('--keep <which>', 'model in --out: the best by held-out loss, or the last')
        .choices(['best', 'last'])
        .default('best'),
    )
    .addOption(
      new Option('--save-dtype <dtype>', 'dtype of the matrices in the saved model')
        .choices(Object.keys(SAVED_DTYPES))
        .default('f32'),
    )
    .option('--seed <text>', 'seed of the weights and of the order of documents', 'rene')
    .addOption(backendOption().default('auto'));
  return addThreadsOption(command);
}

/** @throws UsageError for options that contradict each other */
export function checkCombination({ model, config, lora, merge }: TrainCommandOptions): void {
  if ((model === undefined) === (config === undefined)) {
    throw new UsageError(
      'expected --model DIR (to fine-tune it) or --config tiny (for a new one), found ' +
        (model === undefined ? 'neither' : 'both'),
    );
  }
  if (lora && model === undefined) throw new UsageError('--lora: expected --model with it');
  if (merge !== undefined && !lora) throw new UsageError('--merge: expected --lora with it');
}

/** The options as the library takes them. */
export function trainOptions(options: TrainCommandOptions): TrainOptions {
  const usualRate = options.lora ? 1e-3 : options.model === undefined ? 3e-3 : 1e-4;
  return {
    outDir: options.out,
    steps: options.steps,
    batchSize: options.batchSize,
    rowLength: options.rowLength,
    accumulate: options.accumulate,
    recomputeBlocks: options.recomputeBlocks,
    learningRate: options.learningRate ?? usualRate,
    minLearningRate: options.minLearningRate,
    warmupSteps: options.warmupSteps,
    weightDecay: options.weightDecay,
    clipNorm: options.clipNorm,
    evaluateEvery: options.evaluateEvery,
    checkpointEvery: options.checkpointEvery,
    seed: options.seed,
    keep: options.keep,
    saveDType: SAVED_DTYPES[options.saveDtype],
  };
}

function whole(text: string): number {
  return wholeBetween(text, 1, Number.MAX_SAFE_INTEGER);
}

function wholeFrom0(text: string): number {
  return wholeBetween(text, 0, Number.MAX_SAFE_INTEGER);
}

/** TokenDocuments counts bytes. */
function repeats(text: string): number {
  return wholeBetween(text, 1, 255);
}

function wholeBetween(text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least && value <= most) {
    return value;
  }
  const range = most < Number.MAX_SAFE_INTEGER ? `from ${least} to ${most}` : `from ${least}`;
  throw new InvalidArgumentError(`Expected a whole number ${range}.`);
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text, 'u');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidArgumentError(`Expected a regular expression (${why}).`);
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('Expected a number above 0.');
}

function notNegative(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('Expected a number from 0.');
}
