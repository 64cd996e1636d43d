// The options of `rene generate`.
import type { Command } from 'commander';
import {
  addBackendOptions,
  addLoraOption,
  addModelOptions,
  type LoadOptions,
} from './model_options.js';
import { wholeNumber } from './numbers.js';
import { addSamplingOptions, type SamplingFlags } from './sampling_options.js';

export interface GenerateOptions extends LoadOptions, SamplingFlags {
  maxNewTokens?: number;
  maxLength?: number;
  minNewTokens?: number;
  promptLookup?: number | true;
  echo: boolean;
  quiet: boolean;
}

export function addGenerate(program: Command): Command {
  const command = program
    .command('generate')
    .description('generate a continuation of a prompt; greedy without a sampling option')
    .argument('[prompt]', 'prompt (default: stdin)');
  addModelOptions(command)
    .option('-n, --max-new-tokens <n>', 'maximum number of new tokens (default: 128)', wholeNumber)
    .option('--max-length <n>', 'maximum number of tokens, including the prompt', wholeNumber)
    .option(
      '--min-new-tokens <n>',
      'minimum number of new tokens before the end of text',
      wholeNumber,
    );
  addSamplingOptions(command)
    .option(
      '--prompt-lookup [n]',
      'draft up to n tokens (default: 10) from earlier text and verify them in one pass: the same tokens, ' +
        'faster for text that repeats parts of the prompt',
      wholeNumber,
    )
    .option('--no-echo', 'do not print the prompt')
    .option('-q, --quiet', 'print no statistics on stderr', false);
  return addLoraOption(addBackendOptions(command));
}
