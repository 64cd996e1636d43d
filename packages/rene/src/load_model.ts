// Opens a model by its name and makes its parameters.
import { type Parameter, type ParameterSpec, useBackend, type WeightFormat } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { blueprintOf } from './architectures/index.js';
import type { ModelConfig } from './architectures/model_config.js';
import type { Checkpoint } from './checkpoint/checkpoint.js';
import { chooseFormat, countWeights } from './checkpoint/choose_format.js';
import type { HubOptions } from './checkpoint/hub.js';
import { loadParameters } from './checkpoint/load_parameters.js';
import { type OpenModel, openUrlModel } from './checkpoint/url_model.js';
import { weightFormatOrAuto } from './dtype_names.js';
import type { GenerationDefaults } from './generation/generation_defaults.js';
import { checkPretrainedOptions, type PretrainedOptions } from './load_options.js';

/** A model's configuration and its parameters, which the caller owns. */
export interface LoadedModel<Config extends ModelConfig> {
  readonly config: Config;
  readonly parameters: Map<string, Parameter>;
  readonly generationConfig: GenerationDefaults | undefined;
}

/**
 * @param accept returns the configuration as the caller's type, or throws before the weights are read
 * @throws InvalidArgumentError for unknown options; ConfigError, CheckpointError, HubError, BackendError
 */
export async function loadModel<Config extends ModelConfig>(
  idOrDir: string | URL,
  options: PretrainedOptions,
  accept: (config: ModelConfig) => Config,
): Promise<LoadedModel<Config>> {
  checkPretrainedOptions(options);
  const { hub, lora, dtype: name = 'auto', onNotice = console.warn, ...others } = options;
  const dtype = weightFormatOrAuto(name);
  const opened = await openModel(idOrDir, lora, { onNotice, ...hub });
  const { generationConfig, checkpoint } = opened;
  try {
    const config = accept(opened.config);
    await useBackend(others.backend);
    const blueprint = blueprintOf(config);
    const specs = blueprint.tensors;
    if (others.backend === undefined) warnOfSlowBackend(specs, onNotice);
    const keepQuantized = dtype === 'auto';
    let format: WeightFormat = 'f32';
    if (dtype !== 'auto') format = dtype;
    else if (!others.trainable) {
      const stored = storedDType(checkpoint, blueprint.embedding);
      format = chooseFormat(lora === undefined ? stored : underAdapter(stored), specs, onNotice);
    }
    const parameters = await loadParameters(checkpoint, blueprint, {
      ...others,
      format,
      keepQuantized,
    });
    return { config, parameters, generationConfig };
  } finally {
    await checkpoint.close();
  }
}

/** Opens a model by its name, with the corrections of an adapter if one is named. */
async function openModel(
  idOrDir: string | URL,
  lora: string | URL | undefined,
  hub: HubOptions,
): Promise<OpenModel> {
  const base = await openBase(idOrDir, hub);
  if (lora === undefined) return base;
  try {
    const { withAdapter } = await import('./lora/load_adapter.js');
    return await withAdapter(base, lora, hub);
  } catch (error) {
    await base.checkpoint.close();
    throw error;
  }
}

/** Opens a model by its name. The code for local files is loaded only if it is needed. */
export async function openBase(idOrDir: string | URL, hub: HubOptions): Promise<OpenModel> {
  const { webFolderOf } = await import('./checkpoint/platform.js');
  const folder = webFolderOf(idOrDir, hub);
  if (folder) return openUrlModel(folder, hub.onNotice);
  const { resolveModel } = await import('./checkpoint/resolve.js');
  const { openModelFolder } = await import('./checkpoint/open_model_folder.js');
  return openModelFolder(await resolveModel(idOrDir, hub), hub.onNotice);
}

/** tfjs starts its plain CPU backend when a tensor is created before a backend is chosen. */
function warnOfSlowBackend(
  specs: readonly ParameterSpec[],
  onNotice: (notice: string) => void,
): void {
  if (tf.getBackend() !== 'cpu' || countWeights(specs) < 1e8) return;
  onNotice(
    "the current backend is 'cpu' (plain JavaScript, one core): pass { backend: 'auto' } for a faster one",
  );
}

/** The dtype of corrected matrices: rounding to few bits would erase an adapter's small corrections. */
export function underAdapter(stored: string): string {
  return stored.startsWith('int') ? 'BF16' : stored;
}

/** The dtype of one tensor, which stands for the whole checkpoint. */
export function storedDType(checkpoint: Checkpoint, name: string): string {
  return checkpoint.has(name) ? checkpoint.info(name).dtype : 'F32';
}
