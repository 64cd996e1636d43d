// Options of sampling that `rene generate` and `rene chat` share.
import type { SamplingOptions } from '@rene-js/rene';
import type { Command } from 'commander';
import { number, wholeNumber } from './numbers.js';

export interface SamplingFlags {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: string;
  stop?: string[];
}

export function addSamplingOptions(command: Command): Command {
  return command
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
    .option('--stop <text>', 'stop before this text (\\n: newline); can be repeated', another);
}

/** Options of sampling as generation takes them. */
export function samplingOf({
  temperature,
  topK,
  topP,
  minP,
  seed,
}: SamplingFlags): SamplingOptions {
  // As in servers, top_p 0 leaves only the most probable token.
  if (topP === 0) return { temperature: 0, topK, minP, seed };
  return { temperature, topK, topP, minP, seed };
}

/** Adds a stop string. \n and \t are unescaped, since newlines are hard to type in a shell. */
function another(text: string, others: string[] = []): string[] {
  return [...others, text.replaceAll('\\n', '\n').replaceAll('\\t', '\t')];
}
