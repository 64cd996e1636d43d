// The options of `rene quantize`.
import { type Command, Option } from 'commander';
import { formatFrom } from './dtype_option.js';

const FORMATS = ['int4', 'int8', 'bf16'] as const;

export interface QuantizeOptions {
  dtype: (typeof FORMATS)[number];
  groupSize: string;
  force: boolean;
}

export function addQuantize(program: Command): Command {
  return program
    .command('quantize')
    .description('write a model with smaller weights: int8, int4 or bf16')
    .argument('<model>', 'model folder or hub id')
    .argument('<out>', 'folder to write')
    .option(
      '--dtype <format>',
      `dtype of the matrices: ${FORMATS.join(', ')}`,
      formatFrom(FORMATS),
      'int8',
    )
    .addOption(
      new Option('--group-size <columns>', 'columns per scale (group size) of int4 and int8')
        .choices(['32', '64'])
        .default('64'),
    )
    .option('--force', 'replace an existing model in <out>', false);
}
