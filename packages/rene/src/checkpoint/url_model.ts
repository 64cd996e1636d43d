// A model on a web server: config.json, tokenizer.json and the weights, read in pieces. Browser and Node.
import { parseConfig, type ReneConfig } from '../config.js';
import { CheckpointError } from '../errors.js';
import { asRecord, parseJson } from '../json.js';
import { urlSource } from './byte_source.js';
import { type Checkpoint, checkpointOf } from './checkpoint.js';
import { isMlx, parseMlxConfig } from './mlx.js';
import { openSafetensors } from './safetensors.js';
import { shardNames } from './shard_index.js';
import type { TensorFile } from './tensor_file.js';

/** Whether a model's name is the URL of a folder on a web server. */
export function isUrl(name: string): boolean {
  return /^https?:\/\//i.test(name);
}

/** A model that can be loaded: its configuration and its open weights. */
export interface OpenModel {
  readonly config: ReneConfig;
  readonly checkpoint: Checkpoint;
}

/**
 * Opens the model of a folder on a server, which must answer range requests: model.safetensors, whole
 * or in shards. Close its checkpoint.
 *
 * @throws CheckpointError, ConfigError
 */
export async function openUrlModel(url: string): Promise<OpenModel> {
  const base = url.replace(/\/+$/, '');
  const json = await fetchJson(`${base}/config.json`);
  const files = await openFiles(base);
  try {
    const checkpoint = checkpointOf(base, files, json);
    const path = `${base}/model.safetensors`;
    const saysNothing = asRecord(json)?.d_model === undefined;
    const config =
      saysNothing && isMlx(checkpoint.metadata)
        ? parseMlxConfig(checkpoint.metadata, path)
        : parseConfig(json ?? {}, `${base}/config.json`);
    return { config, checkpoint };
  } catch (error) {
    for (const file of files) await file.close();
    throw error;
  }
}

async function openFiles(base: string): Promise<TensorFile[]> {
  const path = `${base}/model.safetensors.index.json`;
  const index = await fetchJson(path);
  if (index === undefined) {
    return [await openSafetensors(await urlSource(`${base}/model.safetensors`))];
  }
  const files: TensorFile[] = [];
  try {
    for (const shard of shardNames(index, path)) {
      files.push(
        await openSafetensors(
          await urlSource(`${base}/${shard.split('/').map(encodeURIComponent).join('/')}`),
        ),
      );
    }
    return files;
  } catch (error) {
    for (const file of files) await file.close();
    throw error;
  }
}

/** The content of a JSON file on a server; undefined where there is none. @throws CheckpointError */
export async function fetchJson(url: string): Promise<unknown> {
  const response = await fetch(url).catch((cause: unknown) => {
    throw new CheckpointError(`${url}: cannot be reached`, undefined, { cause });
  });
  if (response.status === 404) {
    await response.body?.cancel();
    return undefined;
  }
  if (!response.ok) throw new CheckpointError(`${url}: HTTP ${response.status}`);
  try {
    return parseJson(await response.text());
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new CheckpointError(`${url}: not JSON: ${why}`, undefined, { cause: error });
  }
}
