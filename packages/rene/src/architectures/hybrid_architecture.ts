// The architecture of models that are a sequence of Mamba-2, attention and MLP blocks.
import type { Architecture } from './architecture.js';
import { ConfigValues } from './config_values.js';
import { hybridBlueprint } from './hybrid_blueprint.js';
import { type HybridConfig, hybridToJson } from './hybrid_config.js';
import type { ModelConfig } from './model_config.js';

/** Parses a family's config.json. */
export interface HybridFamily
  extends Pick<Architecture, 'title' | 'modelTypes' | 'recognises' | 'tensorName'> {
  /** @throws ConfigError */
  read(values: ConfigValues): Omit<HybridConfig, 'modelType' | 'json'>;
}

export function hybridArchitecture({ read, ...family }: HybridFamily): Architecture<HybridConfig> {
  const [modelType = ''] = family.modelTypes;
  return {
    ...family,
    parse: (json, where) => ({ modelType, json, ...read(new ConfigValues(json, where)) }),
    owns: (config: ModelConfig): config is HybridConfig =>
      'modelType' in config && config.modelType === modelType,
    toJson: hybridToJson,
    blueprint: hybridBlueprint,
  };
}
