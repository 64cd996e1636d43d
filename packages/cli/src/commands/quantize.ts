// `rene quantize`: writes a model with int8, int4 or bf16 weights. It loads without being quantised again.
import type { PackedWeight } from '@rene-js/layers';
import { ReneLMHeadModel } from '@rene-js/rene';
import {
  companionFiles,
  convertCheckpoint,
  modelParameters,
  saveCheckpoint,
} from '@rene-js/rene/internal';
import { exitOnSignals } from './interrupt.js';
import { modelFolder } from './load.js';
import { checkNotSame, checkOutFolder, removeStale } from './out_folder.js';
import { withProgressBar } from './progress_bar.js';
import type { QuantizeOptions } from './quantize_options.js';

export async function runQuantize(
  model: string,
  out: string,
  options: QuantizeOptions,
): Promise<void> {
  const { dtype, groupSize, force } = options;
  exitOnSignals();
  await checkOutFolder(model, out, force);
  const dir = await modelFolder(model);
  await checkNotSame(dir, out);
  let matrices: PackedWeight[] = [];
  const bar = 'quantising [{bar}] {percentage}% {eta_formatted} left';
  const written = await withProgressBar(bar, async (update) => {
    if (dtype === 'bf16') {
      return convertCheckpoint(dir, out, { dtype: 'BF16', onProgress: update });
    }
    const loaded = await ReneLMHeadModel.fromPretrained(dir, {
      backend: 'simd',
      dtype,
      groupSize: Number(groupSize),
      // The format has no room for other matrices: they are written unchanged.
      wholeGroups: true,
      onProgress: ({ loadedValues, totalValues }) => update(loadedValues, totalValues),
    });
    try {
      matrices = [...loaded.parameters.values()].filter((p) => 'format' in p);
      const { config, parameters } = loaded;
      const specs = modelParameters(config);
      const others = await companionFiles(dir);
      return await saveCheckpoint(out, specs, parameters, config, { quantized: true }, others);
    } finally {
      loaded.dispose();
    }
  });
  await removeStale(out, written);
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
