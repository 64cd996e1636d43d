// A model's folder: config.json, generation_config.json and the weights.
import { parseGenerationDefaults, withEosOf } from '../generation/generation_defaults.js';
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
  const config = await configOfFolder(dir, configJson);
  const path = `${dir}/generation_config.json`;
  if (!(await fileExists(path))) {
    return { config, checkpoint: await openCheckpoint(dir, configJson) };
  }
  const json = await readJsonFile(path);
  return {
    config: withEosOf(json, config, path),
    generationConfig: parseGenerationDefaults(json, config, path, onNotice),
    checkpoint: await openCheckpoint(dir, configJson),
  };
}
