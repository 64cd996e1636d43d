// `rene convert`: writes any readable checkpoint as safetensors that the original Python code loads.

import { convertCheckpoint, STORED_DTYPES } from '@rene-js/rene/internal';
import type { ConvertOptions } from './convert_options.js';
import { exitOnSignals } from './interrupt.js';
import { modelFolder } from './load.js';
import { checkNotSame, checkOutFolder, removeStale } from './out_folder.js';
import { withProgressBar } from './progress_bar.js';

export async function runConvert(
  model: string,
  out: string,
  options: ConvertOptions,
): Promise<void> {
  const { revision, dtype, force } = options;
  exitOnSignals();
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
