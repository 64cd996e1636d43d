// `rene quantize`: a model with weights of 4 or 8 bits, which loads without being rounded again.
import { join } from 'node:path';
import type { PackedWeight } from '@rene-js/layers';
import { type Command, Option } from 'commander';
import { convertCheckpoint } from '../checkpoint/convert.js';
import { copyFileAtomically, fileExists } from '../checkpoint/node_files.js';
import { TOKENIZER_FILES } from '../checkpoint/resolve.js';
import { ReneLMHeadModel } from '../model.js';
import { formatFrom } from './dtype_option.js';
import { modelFolder } from './load.js';
import { withProgressBar } from './progress_bar.js';

const FORMATS = ['int4', 'int8', 'bf16'] as const;

interface Options {
  dtype: (typeof FORMATS)[number];
  groupSize: string;
}

export function addQuantize(program: Command): void {
  program
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
    .action(run);
}

async function run(model: string, out: string, { dtype, groupSize }: Options): Promise<void> {
  const dir = await modelFolder(model);
  let matrices: PackedWeight[] = [];
  await withProgressBar('quantising [{bar}] {percentage}% {eta_formatted} left', async (update) => {
    if (dtype === 'bf16') {
      return convertCheckpoint(dir, out, { dtype: 'BF16', onProgress: update });
    }
    const loaded = await ReneLMHeadModel.fromPretrained(dir, {
      backend: 'simd',
      dtype,
      groupSize: Number(groupSize),
      // The file's layout has no place for others: they are written as they were.
      wholeGroups: true,
      onProgress: ({ loadedValues, totalValues }) => update(loadedValues, totalValues),
    });
    try {
      matrices = [...loaded.parameters.values()].filter((p) => 'format' in p);
      await loaded.save(out, { quantized: true });
    } finally {
      loaded.dispose();
    }
    for (const name of TOKENIZER_FILES) {
      if (await fileExists(join(dir, name)))
        await copyFileAtomically(join(dir, name), join(out, name));
    }
  });
  const kept = matrices.filter(({ format }) => format !== dtype);
  if (kept.length > 0) {
    const [first] = kept;
    const hint = groupSize === '64' ? '; --group-size 32 may take more' : '';
    console.error(
      `${kept.length} of ${matrices.length} matrices stay ${first?.format}: their rows (${first?.shape[1]} numbers ` +
        `in the first) are not whole groups of ${groupSize}${hint}`,
    );
  }
  console.log(out);
}
