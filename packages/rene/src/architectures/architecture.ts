// What a model family is: how its config.json is read and written, and what its models are made of.
import type { Blueprint } from './blueprint.js';
import type { ModelConfig } from './model_config.js';

export interface Architecture<Config extends ModelConfig = ModelConfig> {
  /** As `rene info` shows it. */
  readonly title: string;
  /** Values of `model_type` in config.json. */
  readonly modelTypes: readonly string[];
  /** Whether a config.json without a `model_type` is of this family. Default: no. */
  recognises?(json: Readonly<Record<string, unknown>>): boolean;
  /**
   * Reads config.json.
   *
   * @param where the file, for errors
   * @throws ConfigError naming the key, what was expected, what was found
   */
  parse(json: Readonly<Record<string, unknown>>, where?: string): Config;
  /** Whether a configuration is one that `parse` gave. */
  owns(config: ModelConfig): config is Config;
  /** The configuration as config.json. */
  toJson(config: Config): Record<string, unknown>;
  blueprint(config: Config): Blueprint;
  /** The name of a checkpoint's tensor, where files of this family have others too. */
  tensorName?(name: string): string;
}
