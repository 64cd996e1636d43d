// A model's folder: config.json, generation_config.json and the weights.
import { readConfig } from '../config.js';
import { parseGenerationConfig, withEosOf } from '../generation/generation_config.js';
import { openCheckpoint } from './checkpoint.js';
import { fileExists, readJsonFile } from './node_files.js';
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
  const config = await readConfig(dir);
  const path = `${dir}/generation_config.json`;
  if (!(await fileExists(path))) return { config, checkpoint: await openCheckpoint(dir) };
  const json = await readJsonFile(path);
  return {
    config: withEosOf(json, config, path),
    generationConfig: parseGenerationConfig(json, config, path, onNotice),
    checkpoint: await openCheckpoint(dir),
  };
}
