// The options of `rene worker`.
import type { Command } from 'commander';
import {
  addBackendOptions,
  addLoraOption,
  addModelOptions,
  addPrefixCacheBytes,
} from './model_options.js';
import { wholeNumberFrom } from './numbers.js';
import type { ServingOptions } from './serving_model.js';

export interface WorkerOptions
  extends Omit<ServingOptions, 'prefixCacheDir' | 'prefixCacheDirBytes'> {
  queue: string;
  lockSeconds: number;
  maxLength: number;
}

export function addWorker(program: Command): Command {
  const command = program
    .command('worker')
    .description('do the work of rene batch --queue and rene eval --queue')
    .requiredOption('--queue <url>', 'Redis or Valkey: redis://HOST:PORT, or rediss:// for TLS');
  addModelOptions(command)
    .option(
      '--served-model-name <name>',
      "name of the model for those who give work (default: the model's name)",
    )
    .option(
      '--chat-template <file>',
      "Jinja file that renders conversations (default: the tokenizer's chat template)",
    )
    .option(
      '--max-length <n>',
      'maximum number of tokens per sequence, prompt included',
      wholeNumberFrom(1),
      4096,
    )
    .option(
      '--max-batch <n>',
      'maximum number of sequences decoded together (default: by memory)',
      wholeNumberFrom(1),
    )
    .option(
      '--lock-seconds <n>',
      'seconds without a sign of life after which another worker takes over',
      wholeNumberFrom(1),
      60,
    );
  addPrefixCacheBytes(command, '1 GiB');
  addLoraOption(addBackendOptions(command));
  command.addHelpText(
    'after',
    `
It needs two more packages: npm install bullmq ioredis. Start as many workers as you like, on any machine.
All with one name have the same model and dtype. SIGTERM and Ctrl-C let the slice in progress end; a second
signal ends the worker at once, and another one does its work.`,
  );
  return command;
}
