// `rene convert`: any checkpoint that can be read, as safetensors that the original Python loads.
import { type Command, Option } from 'commander';
import { convertCheckpoint } from '../checkpoint/convert.js';
import { modelFolder } from './load.js';
import { withProgressBar } from './progress_bar.js';

const DTYPES = { f32: 'F32', bf16: 'BF16', f16: 'F16' } as const;

interface Options {
  revision?: string;
  dtype?: keyof typeof DTYPES;
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
    .addOption(
      new Option('--dtype <format>', "the matrices' dtype; their own unless given").choices(
        Object.keys(DTYPES),
      ),
    )
    .action(run);
}

async function run(model: string, out: string, { revision, dtype }: Options): Promise<void> {
  const dir = await modelFolder(model, revision);
  await withProgressBar('converting [{bar}] {percentage}% {eta_formatted} left', (update) =>
    convertCheckpoint(dir, out, { dtype: dtype && DTYPES[dtype], onProgress: update }),
  );
  console.log(out);
}
