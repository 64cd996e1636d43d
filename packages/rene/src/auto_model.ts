// AutoModelForCausalLM: loads a model of any architecture that there is, by its config.json's model_type.
import type { Parameter } from '@rene-js/layers';
import type { ModelConfig } from './architectures/model_config.js';
import { rene } from './architectures/rene.js';
import type { GenerationDefaults } from './generation/generation_defaults.js';
import { loadModel } from './load_model.js';
import type { PretrainedOptions, RandomModelOptions } from './load_options.js';
import { CausalLM } from './model.js';
import { ReneLMHeadModel, randomModelParameters } from './rene_model.js';

export const AutoModelForCausalLM = {
  /**
   * Loads a checkpoint: config.json and model.safetensors or pytorch_model.bin, whole or in shards.
   *
   * @param idOrDir as ReneLMHeadModel.fromPretrained takes it
   * @throws InvalidArgumentError for options that there are not; ConfigError for an architecture, or a part of one,
   *   that is not supported; CheckpointError, HubError, BackendError
   */
  async fromPretrained(idOrDir: string | URL, options: PretrainedOptions = {}): Promise<CausalLM> {
    const { config, parameters, generationConfig } = await loadModel(idOrDir, options);
    return modelOf(config, parameters, generationConfig);
  },

  /** A model with random weights. */
  async fromConfig(config: ModelConfig, options: RandomModelOptions = {}): Promise<CausalLM> {
    return modelOf(config, await randomModelParameters(config, options));
  },
};

/** A model of the class of its architecture. */
export function modelOf(
  config: ModelConfig,
  parameters: ReadonlyMap<string, Parameter>,
  generationConfig?: GenerationDefaults,
): CausalLM {
  return rene.owns(config)
    ? new ReneLMHeadModel(config, parameters, generationConfig)
    : new CausalLM(config, parameters, generationConfig);
}
