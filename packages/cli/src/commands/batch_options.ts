// The options of `rene batch`.
import type { Command } from 'commander';
import {
  addBackendOptions,
  addLoraOption,
  addModelOptions,
  addPrefixCacheBytes,
  addPrefixCacheDirOptions,
} from './model_options.js';
import { wholeNumberFrom } from './numbers.js';
import type { ServingOptions } from './serving_model.js';

export interface BatchOptions extends ServingOptions {
  concurrency?: number;
  queue?: string;
  maxLength: number;
}

export function addBatch(program: Command): Command {
  const command = program
    .command('batch')
    .description('answer the requests in a file; the same command resumes a stopped run')
    .argument('<input>', "requests: JSONL in the format of OpenAI's batch API")
    .argument('<output>', 'results: JSONL with one line per request, in any order');
  addModelOptions(command)
    .option(
      '--concurrency <n>',
      'number of requests in progress (default: the size of the batch)',
      wholeNumberFrom(1),
    )
    .option(
      '--queue <url>',
      'Redis or Valkey whose workers (rene worker) answer: redis://HOST:PORT',
    )
    .option(
      '--served-model-name <name>',
      "name of the model in requests (default: the model's name)",
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
    );
  addPrefixCacheDirOptions(addPrefixCacheBytes(command));
  addLoraOption(addBackendOptions(command));
  command.addHelpText(
    'after',
    `
A request: {"custom_id": "1", "method": "POST", "url": "/v1/completions", "body": {"prompt": "The sea"}}
A result: {"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error"}
A failed request also has a result. If a run was stopped, even by a power cut, run the same command
again: it answers the remaining requests. Requests without a seed get one that depends on their custom_id.`,
  );
  return command;
}
