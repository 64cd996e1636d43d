// The options of `rene convert`.
import type { Command } from 'commander';
import { formatFrom } from './dtype_option.js';

const FORMATS = ['f32', 'bf16', 'f16'] as const;

export interface ConvertOptions {
  revision?: string;
  dtype?: (typeof FORMATS)[number];
  force: boolean;
}

export function addConvert(program: Command): Command {
  return program
    .command('convert')
    .description('write a model as safetensors with the original names, from any format')
    .argument(
      '<model>',
      'model folder or hub id: safetensors, pytorch_model.bin, MLX, sharded or not',
    )
    .argument('<out>', 'folder to write')
    .option('--revision <name>', "a hub id's branch, tag or commit (default: main)")
    .option(
      '--dtype <format>',
      "dtype of the matrices: f32, bf16 or f16 (default: the checkpoint's dtype)",
      formatFrom(FORMATS),
    )
    .option('--force', 'replace an existing model in <out>', false);
}
