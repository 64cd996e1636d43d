// The interface of a model family: how to read and write its config.json, and how to build its models.
import type { Blueprint } from './blueprint.js';
import type { ModelConfig } from './model_config.js';

export interface Architecture<Config extends ModelConfig = ModelConfig> {
  /** Its name in `rene info`. */
  readonly title: string;
  /** Values of `model_type` in config.json. */
  readonly modelTypes: readonly string[];
  /** Whether a config.json without a `model_type` belongs to this family. Default: no. */
  recognises?(json: Readonly<Record<string, unknown>>): boolean;
  /**
   * Reads config.json.
   *
   * @param where path of the file, for errors
   * @throws ConfigError with the key, the expected and the actual value
   */
  parse(json: Readonly<Record<string, unknown>>, where?: string): Config;
  /** Whether a configuration was created by `parse`. */
  owns(config: ModelConfig): config is Config;
  /** The configuration as config.json. */
  toJson(config: Config): Record<string, unknown>;
  blueprint(config: Config): Blueprint;
  /** The standard name of a checkpoint's tensor, for families whose files have several naming schemes. */
  tensorName?(name: string): string;
}
