// The options of `rene info`.
import type { Command } from 'commander';
import { addModelOptions, type LoadOptions } from './model_options.js';

export interface InfoOptions extends LoadOptions {
  json: boolean;
}

export function addInfo(program: Command): Command {
  const command = program
    .command('info')
    .description('what a model is made of, and what it would run on');
  return addModelOptions(command)
    .option('--backend <name>', 'auto, cpu, simd, tensorflow, or another tfjs backend', 'auto')
    .option('--json', 'as JSON, with the whole configuration', false);
}
