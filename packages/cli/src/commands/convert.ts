// `rene convert`: any checkpoint that can be read, as safetensors that the original Python loads.

import { convertCheckpoint, STORED_DTYPES } from '@rene-js/rene/internal';
import type { Command } from 'commander';
import { formatFrom } from './dtype_option.js';
import { modelFolder } from './load.js';
import { checkNotSame, checkOutFolder, removeStale } from './out_folder.js';
import { withProgressBar } from './progress_bar.js';

const FORMATS = ['f32', 'bf16', 'f16'] as const;

interface Options {
  revision?: string;
  dtype?: (typeof FORMATS)[number];
  force: boolean;
}

export function addConvert(program: Command): void {
  program
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
      "the matrices' dtype: f32, bf16 or f16 (default: their own)",
      formatFrom(FORMATS),
    )
    .option('--force', 'replace a model that is in <out>', false)
    .action(run);
}

async function run(model: string, out: string, options: Options): Promise<void> {
  const { revision, dtype, force } = options;
  await checkOutFolder(model, out, force);
  const dir = await modelFolder(model, revision);
  await checkNotSame(dir, out);
  const written = await withProgressBar(
    'converting [{bar}] {percentage}% {eta_formatted} left',
    (update) =>
      convertCheckpoint(dir, out, { dtype: dtype && STORED_DTYPES[dtype], onProgress: update }),
  );
  await removeStale(out, written);
  console.log(out);
}
