// The model families. A new family is a file in this folder and a line in the list.
import type { ParameterSpec } from '@rene-js/layers';
import { ConfigError } from '../errors.js';
import { asRecord, shortJson } from '../json.js';
import type { Architecture } from './architecture.js';
import { bamba } from './bamba.js';
import type { Blueprint } from './blueprint.js';
import { falconH1 } from './falcon_h1.js';
import { graniteMoeHybrid } from './granite_moe_hybrid.js';
import { mamba2 } from './mamba2.js';
import type { ModelConfig } from './model_config.js';
import { nemotronH } from './nemotron_h.js';
import { rene } from './rene.js';

const architectures: readonly Architecture[] = [
  rene,
  mamba2,
  graniteMoeHybrid,
  falconH1,
  nemotronH,
  bamba,
];

/**
 * The configuration in a parsed config.json, by its `model_type`.
 *
 * @param where path of the file, for errors
 * @throws ConfigError with the key, the expected and the actual value
 */
export function parseModelConfig(json: unknown, where?: string): ModelConfig {
  const record = asRecord(json);
  if (!record) throw new ConfigError('config', 'an object', shortJson(json), where);
  const architecture = architectureOfJson(record);
  if (architecture) return architecture.parse(record, where);
  if (record.model_type === undefined) {
    const expected = "a model's configuration, with 'model_type' or with Rene's 'd_model'";
    throw new ConfigError('config', expected, shortJson(record), where);
  }
  const known = architectures.flatMap(({ modelTypes }) => modelTypes).join(', ');
  throw new ConfigError(
    'model_type',
    `one of ${known} (other architectures are not supported)`,
    shortJson(record.model_type),
    where,
  );
}

/** The architecture of a configuration. */
export function architectureOf(config: ModelConfig): Architecture {
  const found = architectures.find((architecture) => architecture.owns(config));
  if (found) return found;
  throw new ConfigError(
    'config',
    'a configuration from parseModelConfig or reneConfig',
    'another object',
  );
}

export function blueprintOf(config: ModelConfig): Blueprint {
  return architectureOf(config).blueprint(config);
}

/** Every tensor of a model's checkpoint, with the names of the original's state_dict. */
export function modelParameters(config: ModelConfig): readonly ParameterSpec[] {
  return blueprintOf(config).tensors;
}

/** A configuration as a config.json that the original loads. */
export function modelConfigToJson(config: ModelConfig): Record<string, unknown> {
  return architectureOf(config).toJson(config);
}

/** Standard names of the tensors in a model's files, according to its config.json. */
export function tensorNaming(json: unknown): ((name: string) => string) | undefined {
  const record = asRecord(json);
  return record && architectureOfJson(record)?.tensorName;
}

function architectureOfJson(json: Readonly<Record<string, unknown>>): Architecture | undefined {
  const { model_type: type } = json;
  return architectures.find(({ modelTypes, recognises }) =>
    typeof type === 'string' ? modelTypes.includes(type) : (recognises?.(json) ?? false),
  );
}
