// The options of `rene info`.
import type { Command } from 'commander';
import { backendOption } from './backend_option.js';
import { addModelOptions, type LoadOptions } from './model_options.js';

export interface InfoOptions extends LoadOptions {
  json: boolean;
}

export function addInfo(program: Command): Command {
  const command = program
    .command('info')
    .argument('[model]', 'model folder or hub id (default: rene-tiny, which is included)')
    .description('print the blocks, sizes and files of a model, and the backend');
  return addModelOptions(command)
    .addOption(backendOption().default('auto'))
    .option('--json', 'print JSON with the whole configuration', false);
}
