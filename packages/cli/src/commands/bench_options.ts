// The options of `rene bench`.
import type { WeightFormat } from '@rene-js/layers';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { BenchOptions } from '../bench/measure.js';
import { backendOption } from './backend_option.js';
import { formatFrom, LOAD_FORMATS } from './dtype_option.js';
import { addThreadsOption } from './model_options.js';
import { wholeNumber } from './numbers.js';

/** Keys of randomConfigs, which loads the library. */
export const RANDOM_SIZES = [
  '1.3b',
  'tiny',
  'granite-4.0-h-350m',
  'granite-4.0-h-1b',
  'falcon-h1-0.5b',
  'mamba2-1.3b',
] as const;

/** Sizes of a model with random weights. */
export type RandomSize = (typeof RANDOM_SIZES)[number];

export type Format = 'auto' | WeightFormat;

export interface BenchCommandOptions extends BenchOptions {
  model?: string;
  revision?: string;
  randomWeights?: RandomSize;
  backend: string;
  threads?: number;
  dtype?: Format[];
  json: boolean;
  chart?: string;
}

export function addBench(program: Command): Command {
  const command = program
    .command('bench')
    .description(
      'measure load, prefill and decode speed, memory, and the share of the memory bandwidth',
    )
    .option('-m, --model <dir>', 'model folder or hub id (default: rene-tiny, which is included)')
    .option('--revision <name>', "a hub id's branch, tag or commit (default: main)")
    .addOption(
      new Option(
        '--random-weights <size>',
        "use random weights of a model's sizes instead of a model; 1.3b and tiny are Rene",
      )
        .choices(RANDOM_SIZES)
        .conflicts('model'),
    )
    .addOption(backendOption().default('auto'))
    .addOption(
      new Option(
        '--dtype <formats...>',
        "dtypes of the weights in memory, one run each; 'auto' is the checkpoint's dtype (default: bf16 int8 int4, if the backend supports them)",
      ).argParser((text: string, others: Format[] = []) => [
        ...others,
        formatFrom(LOAD_FORMATS)(text),
      ]),
    );
  return addThreadsOption(command)
    .option('--prompt <tokens>', 'length of the prompt in tokens', count, 512)
    .option('--tokens <count>', 'number of tokens to decode', count, 64)
    .option('--batch <rows>', 'batch size', count, 1)
    .option('--repeat <times>', 'number of runs; the medians are printed', count, 3)
    .option('--json', 'print one JSON object per dtype', false)
    .option('--chart <file.svg>', 'also write a chart of the decode speeds');
}

function count(text: string): number {
  const value = wholeNumber(text);
  if (value >= 1) return value;
  throw new InvalidArgumentError('It must be at least 1.');
}
