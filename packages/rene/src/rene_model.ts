// ReneLMHeadModel: the model class of Rene and of Mamba-2 models in the format of state-spaces.
import { useBackend } from '@rene-js/layers';
import { makeRandomParameters } from './architectures/derived_parameters.js';
import { blueprintOf } from './architectures/index.js';
import type { ModelConfig } from './architectures/model_config.js';
import { rene } from './architectures/rene.js';
import type { ReneConfig } from './config.js';
import { weightFormatOrAuto } from './dtype_names.js';
import { ConfigError } from './errors.js';
import { loadModel } from './load_model.js';
import {
  checkRandomModelOptions,
  type PretrainedOptions,
  type RandomModelOptions,
} from './load_options.js';
import { CausalLM } from './model.js';

export class ReneLMHeadModel extends CausalLM<ReneConfig> {
  /**
   * Loads a checkpoint: config.json and model.safetensors or pytorch_model.bin, whole or in shards.
   *
   * @param idOrDir a folder or its file URL, a hub id (downloaded once, into the cache shared with
   *   Python), 'rene-tiny' (the small model that is included), or the http(s) URL of a folder. In a page: a
   *   URL, a path of the page's server that begins with '/' or '.', or a hub id (read from the hub in pieces)
   * @throws InvalidArgumentError for unknown options; ConfigError, also for other architectures; CheckpointError,
   *   HubError, BackendError
   */
  static async fromPretrained(
    idOrDir: string | URL,
    options: PretrainedOptions = {},
  ): Promise<ReneLMHeadModel> {
    const { config, parameters, generationConfig } = await loadModel(idOrDir, options, asRene);
    return new ReneLMHeadModel(config, parameters, generationConfig);
  }

  /** A model with random weights, distributed as the original's before its training. */
  static async fromConfig(
    config: ReneConfig,
    options: RandomModelOptions = {},
  ): Promise<ReneLMHeadModel> {
    return new ReneLMHeadModel(config, await randomModelParameters(config, options));
  }
}

/** @throws ConfigError for another architecture */
function asRene(config: ModelConfig): ReneConfig {
  if (rene.owns(config)) return config;
  const found = 'modelType' in config ? `'${config.modelType}'` : 'another';
  const expected = "'rene' (AutoModelForCausalLM loads other architectures)";
  throw new ConfigError('model_type', expected, found);
}

/** The parameters of a model with random weights. */
export async function randomModelParameters(config: ModelConfig, options: RandomModelOptions) {
  checkRandomModelOptions(options);
  const { seed = 'rene', dtype = 'auto', ...others } = options;
  const chosen = weightFormatOrAuto(dtype);
  const format = chosen === 'auto' ? 'f32' : chosen;
  await useBackend(others.backend);
  return makeRandomParameters(blueprintOf(config), seed, { ...others, format });
}
