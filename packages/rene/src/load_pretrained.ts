// Loads a model's configuration and parameters from a checkpoint.
import { type Parameter, type ParameterSpec, useBackend, type WeightFormat } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { modelParameters } from './architecture.js';
import type { Checkpoint } from './checkpoint/checkpoint.js';
import { chooseFormat, countWeights } from './checkpoint/choose_format.js';
import type { HubOptions } from './checkpoint/hub.js';
import { loadParameters } from './checkpoint/load_parameters.js';
import { type OpenModel, openUrlModel } from './checkpoint/url_model.js';
import { weightFormatOrAuto } from './dtype_names.js';
import type { PretrainedOptions } from './load_options.js';

/** What a model is made of. */
export interface LoadedModel extends Omit<OpenModel, 'checkpoint'> {
  readonly parameters: Map<string, Parameter>;
}

/** Loads a model onto the backend that is asked for. See ReneLMHeadModel.fromPretrained. */
export async function loadPretrained(
  idOrDir: string | URL,
  options: PretrainedOptions,
): Promise<LoadedModel> {
  const { hub, lora, dtype: name = 'auto', onNotice = console.warn, ...others } = options;
  const dtype = weightFormatOrAuto(name);
  const opened = await openModel(idOrDir, lora, { onNotice, ...hub });
  const { config, generationConfig, checkpoint } = opened;
  try {
    await useBackend(others.backend);
    const specs = modelParameters(config);
    if (others.backend === undefined) warnOfSlowBackend(specs, onNotice);
    const keepQuantized = dtype === 'auto';
    let format: WeightFormat = 'f32';
    if (dtype !== 'auto') format = dtype;
    else if (!others.trainable) {
      const stored = storedDType(checkpoint);
      // Quantised base weights would round the adapter's corrections away.
      const isCorrected = lora !== undefined && stored.startsWith('int');
      format = chooseFormat(isCorrected ? 'BF16' : stored, specs, onNotice);
    }
    const parameters = await loadParameters(checkpoint, specs, {
      ...others,
      format,
      keepQuantized,
    });
    return { config, parameters, generationConfig };
  } finally {
    await checkpoint.close();
  }
}

/** Loads a model by name, with an adapter if one is given. */
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

/** File access is loaded only where there are files. */
async function openBase(idOrDir: string | URL, hub: HubOptions): Promise<OpenModel> {
  const { webFolderOf } = await import('./checkpoint/platform.js');
  const folder = webFolderOf(idOrDir, hub);
  if (folder) return openUrlModel(folder, hub.onNotice);
  const { resolveModel } = await import('./checkpoint/resolve.js');
  const { openModelFolder } = await import('./checkpoint/open_model_folder.js');
  return openModelFolder(await resolveModel(idOrDir, hub), hub.onNotice);
}

/** tfjs selects its plain CPU backend if a tensor is created before a backend is chosen. */
function warnOfSlowBackend(
  specs: readonly ParameterSpec[],
  onNotice: (notice: string) => void,
): void {
  if (tf.getBackend() !== 'cpu' || countWeights(specs) < 1e8) return;
  onNotice(
    "the backend 'cpu' is in use, plain JavaScript on one core: give { backend: 'auto' } for a faster one",
  );
}

/** The dtype of the largest tensor stands for the checkpoint's. */
function storedDType(checkpoint: Checkpoint): string {
  const name = 'backbone.embedding.weight';
  return checkpoint.has(name) ? checkpoint.info(name).dtype : 'F32';
}
