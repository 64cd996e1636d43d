// A model's folder: config.json, generation_config.json and the weights.

import type { ModelConfig } from '../architectures/model_config.js';
import { parseGenerationDefaults, withEosOf } from '../generation/generation_defaults.js';
import { configOfMlxLm } from './mlx_lm.js';
import { fileExists, readJsonFile } from './node_files.js';
import { openCheckpoint, readConfigJson } from './open_checkpoint.js';
import { configOfFolder } from './read_config.js';
import type { OpenModel } from './url_model.js';

/**
 * Opens the model of a folder. Close its checkpoint.
 *
 * @param onNotice called with options of generation_config.json that are not supported
 * @throws CheckpointError, ConfigError
 */
export async function openModelFolder(
  dir: string,
  onNotice?: (notice: string) => void,
): Promise<OpenModel> {
  const configJson = await readConfigJson(dir);
  const stated = await configOfFolder(dir, configJson); // before the weights are looked for
  const checkpoint = await openCheckpoint(dir, configJson);
  try {
    const json = configOfMlxLm(configJson, checkpoint, onNotice);
    const config = json === configJson ? stated : await configOfFolder(dir, json);
    return { ...(await withGenerationDefaults(dir, config, onNotice)), checkpoint };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** The content of generation_config.json, if there is one. */
async function withGenerationDefaults(
  dir: string,
  config: ModelConfig,
  onNotice: ((notice: string) => void) | undefined,
): Promise<Omit<OpenModel, 'checkpoint'>> {
  const path = `${dir}/generation_config.json`;
  if (!(await fileExists(path))) return { config };
  const json = await readJsonFile(path);
  return {
    config: withEosOf(json, config, path),
    generationConfig: parseGenerationDefaults(json, config, path, onNotice),
  };
}
