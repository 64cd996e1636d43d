// AutoModelForCausalLM: loads a model of any supported architecture by the model_type of its config.json.
import type { Parameter } from '@rene-js/layers';
import type { ModelConfig } from './architectures/model_config.js';
import { rene } from './architectures/rene.js';
import type { GenerationDefaults } from './generation/generation_defaults.js';
import { loadModel } from './load_model.js';
import type { PretrainedOptions, RandomModelOptions } from './load_options.js';
import { CausalLM } from './model.js';
import { ReneLMHeadModel, randomModelParameters } from './rene_model.js';

/** Loads models of all supported architectures. */
export const AutoModelForCausalLM = {
  /**
   * Loads a checkpoint: config.json and model.safetensors or pytorch_model.bin, whole or in shards.
   *
   * @param idOrDir as in ReneLMHeadModel.fromPretrained
   * @throws InvalidArgumentError for unknown options; ConfigError for unsupported features of an
   *   architecture; CheckpointError, HubError, BackendError
   */
  async fromPretrained(idOrDir: string | URL, options: PretrainedOptions = {}): Promise<CausalLM> {
    const { config, parameters, generationConfig } = await loadModel(
      idOrDir,
      options,
      (accepted) => accepted,
    );
    return modelOf(config, parameters, generationConfig);
  },

  /** A model with random weights. */
  async fromConfig(config: ModelConfig, options: RandomModelOptions = {}): Promise<CausalLM> {
    return modelOf(config, await randomModelParameters(config, options));
  },
};

/** Creates a model of its architecture's class. */
export function modelOf(
  config: ModelConfig,
  parameters: ReadonlyMap<string, Parameter>,
  generationConfig?: GenerationDefaults,
): CausalLM {
  return rene.owns(config)
    ? new ReneLMHeadModel(config, parameters, generationConfig)
    : new CausalLM(config, parameters, generationConfig);
}
