// The options of `rene generate`.
import type { Command } from 'commander';
import {
  addBackendOptions,
  addLoraOption,
  addModelOptions,
  type LoadOptions,
} from './model_options.js';
import { number, wholeNumber } from './numbers.js';

export interface GenerateOptions extends LoadOptions {
  maxNewTokens?: number;
  maxLength?: number;
  minNewTokens?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: string;
  stop?: string[];
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
    .option('--max-length <n>', "maximum number of tokens, the prompt's included", wholeNumber)
    .option(
      '--min-new-tokens <n>',
      'minimum number of new tokens before the end of text',
      wholeNumber,
    )
    .option('-t, --temperature <x>', 'sampling temperature; 0 = greedy', number)
    .option('--top-k <n>', 'sample from the n most probable tokens; 0 = all', wholeNumber)
    .option(
      '--top-p <p>',
      'sample from the top tokens whose probabilities sum to p; 0 = greedy',
      number,
    )
    .option('--min-p <p>', 'sample from tokens with at least p times the top probability', number)
    .option('--repetition-penalty <x>', 'penalty for repeated tokens; 1 = none', number)
    .option('--seed <seed>', 'seed for sampling; the same seed gives the same text')
    .option('--stop <text>', 'stop before this text (\\n: newline); can be repeated', another)
    .option('--no-echo', 'do not print the prompt')
    .option('-q, --quiet', 'print no statistics on stderr', false);
  return addLoraOption(addBackendOptions(command));
}

/** Adds a stop string. \n and \t are unescaped, since newlines are hard to type in a shell. */
function another(text: string, others: string[] = []): string[] {
  return [...others, text.replaceAll('\\n', '\n').replaceAll('\\t', '\t')];
}
