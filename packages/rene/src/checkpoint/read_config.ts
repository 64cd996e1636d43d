// The configuration of a model folder.
import { parseModelConfig } from '../architectures/index.js';
import type { ModelConfig } from '../architectures/model_config.js';
import { parseConfig, type ReneConfig } from '../config.js';
import { asRecord } from '../json.js';
import { parseMlxConfig } from './mlx.js';
import { readConfigJson, readMlxMetadata } from './open_checkpoint.js';

/**
 * Reads the configuration of a Rene model's folder: its config.json or, if that is missing or does not
 * describe the model, the metadata that cartesia-mlx wrote into model.safetensors.
 *
 * @throws ConfigError for a wrong value, CheckpointError for a missing or unreadable file
 */
export async function readConfig(dir: string): Promise<ReneConfig> {
  const { json, path, mlx } = await sourceOf(dir, await readConfigJson(dir));
  return mlx ?? parseConfig(json, path);
}

/**
 * Reads the configuration of a model's folder, of any architecture.
 *
 * @throws ConfigError for a wrong value, CheckpointError for a missing or unreadable file.
 */
export async function readModelConfig(dir: string): Promise<ModelConfig> {
  return configOfFolder(dir, await readConfigJson(dir));
}

/** @param json the content of its config.json; undefined if there is none */
export async function configOfFolder(dir: string, json: unknown): Promise<ModelConfig> {
  const source = await sourceOf(dir, json);
  return source.mlx ?? parseModelConfig(source.json, source.path);
}

async function sourceOf(
  dir: string,
  json: unknown,
): Promise<{ json: unknown; path: string; mlx?: ReneConfig }> {
  const path = `${dir}/config.json`;
  const { d_model: width, model_type: type } = asRecord(json) ?? {};
  if (width === undefined && (type ?? 'rene') === 'rene') {
    const metadata = await readMlxMetadata(dir);
    if (metadata) return { json, path, mlx: parseMlxConfig(metadata, `${dir}/model.safetensors`) };
  }
  if (json !== undefined) return { json, path };
  // The file does not exist or is not a file: this call throws the error.
  const { readJsonFile } = await import('./node_files.js');
  return { json: await readJsonFile(path, 'a model folder, with config.json and weights'), path };
}
