// `rene quantize`: a model with weights of 4 or 8 bits, which loads without being rounded again.
import {
  disposeParameters,
  type PackedWeight,
  type ParameterOptions,
  type ParameterProgress,
  useBackend,
} from '@rene-js/layers';
import {
  blueprintOf,
  companionFiles,
  convertCheckpoint,
  loadParameters,
  modelConfigToJson,
  openModelFolder,
  saveCheckpoint,
} from '@rene-js/rene/internal';
import { exitOnSignals } from './interrupt.js';
import { modelFolder, onNotice } from './load.js';
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
    const onProgress = (progress: ParameterProgress) =>
      update(progress.loadedValues, progress.totalValues);
    const loaded = await loadTensors(dir, {
      format: dtype,
      groupSize: Number(groupSize),
      // The format does not support other matrices: they are written unchanged.
      wholeGroups: true,
      onProgress,
    });
    const { tensors, parameters, configJson } = loaded;
    try {
      matrices = [...parameters.values()].filter((p) => 'format' in p);
      const others = await companionFiles(dir);
      const options = { quantized: true };
      return await saveCheckpoint(out, tensors, parameters, configJson, options, others);
    } finally {
      disposeParameters(parameters);
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
/** The tensors of a checkpoint, each quantised separately. */
async function loadTensors(dir: string, options: ParameterOptions) {
  await useBackend('simd');
  const { config, checkpoint } = await openModelFolder(dir, onNotice);
  try {
    const { parameters: _, ...tensors } = blueprintOf(config);
    const parameters = await loadParameters(checkpoint, tensors, options);
    return { tensors, parameters, configJson: modelConfigToJson(config) };
  } finally {
    await checkpoint.close();
  }
}
