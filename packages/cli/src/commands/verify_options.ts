// The options of `rene verify`.
import { type Command, InvalidArgumentError } from 'commander';
import { backendOption } from './backend_option.js';

export interface VerifyCommandOptions {
  backend?: string;
  dtype?: 'auto' | 'f32' | 'bf16' | 'f16' | 'int8' | 'int4';
  tolerance?: number;
  relative: boolean;
  json: boolean;
}

export function addVerify(program: Command): Command {
  return program
    .command('verify')
    .description('compare models, ops and sampling with reference numbers')
    .argument('<dir...>', 'folders to check, with their subfolders')
    .addOption(backendOption().default('auto'))
    .option(
      '--dtype <format>',
      'dtype of the weights in memory: auto, f32, bf16, f16, int8, int4',
      'auto',
    )
    .option('--tolerance <number>', 'use this tolerance for all checks except token ids', positive)
    .option('--relative', 'compute errors relative to the largest reference value', false)
    .option('--json', 'print one JSON object per line', false);
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('Expected a number above 0.');
}
