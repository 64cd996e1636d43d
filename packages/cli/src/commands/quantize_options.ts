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
      `how the matrices are written: ${FORMATS.join(', ')}`,
      formatFrom(FORMATS),
      'int8',
    )
    .addOption(
      new Option('--group-size <columns>', 'columns that share a scale, for int4 and int8')
        .choices(['32', '64'])
        .default('64'),
    )
    .option('--force', 'replace a model that is in <out>', false);
}
