// The options of `rene verify`.
import { type Command, InvalidArgumentError } from 'commander';

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
    .description('check folders of reference numbers: models, ops, sampling')
    .argument('<dir...>', 'folders to check; folders within are checked too')
    .option('--backend <name>', 'tfjs backend: auto, cpu, simd, tensorflow, ...', 'auto')
    .option('--dtype <format>', 'how weights are held: auto, f32, bf16, int8, int4', 'auto')
    .option('--tolerance <number>', 'one tolerance in place of all (except for ids)', positive)
    .option('--relative', "divide errors by the reference tensor's largest value", false)
    .option('--json', 'one JSON object a line', false);
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('expected a number above 0');
}
