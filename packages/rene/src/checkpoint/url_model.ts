// A model on a web server: its configuration, and its weights, read in pieces. Browser and Node.
import { parseModelConfig } from '../architectures/index.js';
import type { ModelConfig } from '../architectures/model_config.js';
import { CheckpointError } from '../errors.js';
import {
  type GenerationDefaults,
  parseGenerationDefaults,
  withEosOf,
} from '../generation/generation_defaults.js';
import { asRecord } from '../json.js';
import type { Checkpoint } from './checkpoint.js';
import { isMlx, parseMlxConfig } from './mlx.js';
import { configOfMlxLm } from './mlx_lm.js';
import { checkpointOf, WEIGHT_FILES } from './open_checkpoint.js';
import { shardNames } from './shard_index.js';
import type { TensorFile } from './tensor_file.js';
import { fetchJson, findUrlSource, Missing, urlSource } from './web_file.js';
import type { WebFolder } from './web_folder.js';

/** A model's configuration and open weights. */
export interface OpenModel {
  readonly config: ModelConfig;
  readonly generationConfig?: GenerationDefaults | undefined;
  readonly checkpoint: Checkpoint;
}

const DEFAULTS = 'generation_config.json';

type Notify = ((notice: string) => void) | undefined;

/**
 * Opens the model of a folder on a server: model.safetensors or pytorch_model.bin, whole or in shards.
 * Close its checkpoint.
 *
 * @throws CheckpointError, ConfigError
 */
export async function openUrlModel(folder: WebFolder, onNotice?: Notify): Promise<OpenModel> {
  const path = `${folder.name}/config.json`;
  // Requests that do not depend on one another are sent at once.
  const config = fetchJson(folder.url('config.json'), folder);
  const defaults = fetchJson(folder.url(DEFAULTS), folder);
  const opening = openFiles(folder, onNotice);
  // They are awaited later: until then, a failure would count as unhandled, which ends a Node process.
  for (const promise of [defaults, opening]) promise.catch(() => {});
  const found = await config.catch((error) => {
    opening.then(closeAll).catch(() => {});
    throw error;
  });
  const files = await opening;
  try {
    const json = found instanceof Missing ? undefined : found.json;
    const checkpoint = checkpointOf(folder.name, files, json);
    const { metadata } = checkpoint;
    const { d_model: width, model_type: type } = asRecord(json) ?? {};
    if (isMlx(metadata) && width === undefined && (type ?? 'rene') === 'rene') {
      return {
        config: parseMlxConfig(metadata, `${folder.name}/model.safetensors`),
        checkpoint,
      };
    }
    if (found instanceof Missing) {
      throw new CheckpointError(`${path}: expected the model's configuration, found ${found.why}`);
    }
    const parsed = parseModelConfig(configOfMlxLm(json, checkpoint, onNotice), path);
    return { ...withGenerationDefaults(folder, parsed, await defaults, onNotice), checkpoint };
  } catch (error) {
    await closeAll(files);
    throw error;
  }
}

/** A configuration with the content of generation_config.json, if the server has it. */
function withGenerationDefaults(
  folder: WebFolder,
  config: ModelConfig,
  found: { json: unknown } | Missing,
  onNotice: Notify,
): Omit<OpenModel, 'checkpoint'> {
  if (found instanceof Missing) return { config };
  const path = `${folder.name}/${DEFAULTS}`;
  return {
    config: withEosOf(found.json, config, path),
    generationConfig: parseGenerationDefaults(found.json, config, path, onNotice),
  };
}

async function openFiles(folder: WebFolder, onNotice: Notify): Promise<TensorFile[]> {
  const options = { ...folder, onNotice };
  const found: string[] = [];
  for (const { whole, index, open } of WEIGHT_FILES) {
    const list = await fetchJson(folder.url(index), options);
    if (!(list instanceof Missing) && asRecord(list.json)?.weight_map !== undefined) {
      const names = shardNames(list.json, `${folder.name}/${index}`);
      return openAll(
        names.map((name) => folder.url(name)),
        open,
        options,
      );
    }
    const source = await findUrlSource(folder.url(whole), options);
    if (!(source instanceof Missing)) return [await open(source)];
    found.push(`${whole}: ${source.why}`);
  }
  throw new CheckpointError(`${folder.name}/${found.join(', ')}; expected a model's weights there`);
}

async function openAll(
  urls: readonly string[],
  open: (typeof WEIGHT_FILES)[number]['open'],
  options: Parameters<typeof urlSource>[1],
): Promise<TensorFile[]> {
  const files: TensorFile[] = [];
  try {
    for (const url of urls) files.push(await open(await urlSource(url, options)));
    return files;
  } catch (error) {
    await closeAll(files);
    throw error;
  }
}

async function closeAll(files: readonly TensorFile[]): Promise<void> {
  for (const file of files) await file.close();
}
