// Reads the configuration of a model folder.
import { parseConfig, type ReneConfig } from '../config.js';
import { asRecord } from '../json.js';
import { parseMlxConfig } from './mlx.js';
import { readConfigJson, readMlxMetadata } from './open_checkpoint.js';

/**
 * Reads the configuration of a model folder: its config.json, or, where there is none that says
 * anything about the model, what cartesia-mlx wrote into model.safetensors.
 *
 * @throws ConfigError for a wrong value, CheckpointError for a missing or unreadable file.
 */
export async function readConfig(dir: string): Promise<ReneConfig> {
  return configOfFolder(dir, await readConfigJson(dir));
}

/** @param json the content of its config.json; undefined if there is none */
export async function configOfFolder(dir: string, json: unknown): Promise<ReneConfig> {
  const path = `${dir}/config.json`;
  if (asRecord(json)?.d_model === undefined) {
    const metadata = await readMlxMetadata(dir);
    if (metadata) return parseMlxConfig(metadata, `${dir}/model.safetensors`);
  }
  if (json !== undefined) return parseConfig(json, path);
  // There is no such file: the error says so.
  const { readJsonFile } = await import('./node_files.js');
  return parseConfig(await readJsonFile(path), path);
}
