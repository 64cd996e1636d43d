// Options that several commands share: model, backend, threads.
import type { WeightFormat } from '@rene-js/layers';
import { type Command, InvalidArgumentError } from 'commander';
import { backendOption } from './backend_option.js';
import { formatFrom, LOAD_FORMATS } from './dtype_option.js';
import { wholeNumber, wholeNumberFrom } from './numbers.js';

export interface LoadOptions {
  model?: string;
  revision?: string;
  tokenizer?: string;
  backend?: string;
  threads?: number;
  dtype?: 'auto' | WeightFormat;
  lora?: string;
}

/** Adds the options that select a model and a tokenizer. */
export function addModelOptions(command: Command): Command {
  return command
    .option('-m, --model <dir>', 'model folder or hub id (default: rene-tiny, which is included)')
    .option('--revision <name>', "a hub id's branch, tag or commit (default: main)")
    .option(
      '--tokenizer <path>',
      "tokenizer.json, a folder with one, or a hub id (default: the model's)",
    );
}

/** Adds the options that control how a model is loaded. */
export function addBackendOptions(command: Command): Command {
  command
    .addOption(backendOption().default('auto'))
    .option(
      '--dtype <format>',
      `dtype of the weights in memory: ${LOAD_FORMATS.join(', ')}`,
      formatFrom(LOAD_FORMATS),
      'auto',
    );
  return addThreadsOption(command);
}

/** Adds the option of the prefix cache in memory. */
export function addPrefixCacheBytes(
  command: Command,
  usual = 'a quarter of the free memory',
): Command {
  return command.option(
    '--prefix-cache-bytes <n>',
    `memory of the prefix cache; 0 = none (default: ${usual})`,
    wholeNumberFrom(0),
  );
}

/** Adds the options of the prefix cache's files. */
export function addPrefixCacheDirOptions(command: Command): Command {
  return command
    .option('--prefix-cache-dir <dir>', 'folder that keeps states of prompts for later runs')
    .option(
      '--prefix-cache-dir-bytes <n>',
      'maximum size of the files in it (default: 10 GiB)',
      wholeNumberFrom(1),
    );
}

/** Adds --lora. */
export function addLoraOption(command: Command): Command {
  return command.option(
    '--lora <dir>',
    'PEFT LoRA adapter, applied at load: folder, hub id or URL',
  );
}

/** Adds --threads, the argument of limitThreads. */
export function addThreadsOption(command: Command): Command {
  return command.option(
    '--threads <count>',
    "number of threads of the backend 'simd', at most the CPU cores (default: RENE_THREADS, else all cores)",
    threadCount,
  );
}

function threadCount(text: string): number {
  const value = wholeNumber(text);
  if (value >= 1 && value <= 1024) return value;
  throw new InvalidArgumentError('It must be from 1 to 1024.');
}
