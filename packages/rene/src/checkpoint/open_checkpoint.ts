// Opens a model's weights: finds the files of a folder, and presents MLX's and quantised tensors like the
// original's.
import { tensorNaming } from '../architectures/index.js';
import { CheckpointError } from '../errors.js';
import type { ByteSource } from './byte_source.js';
import { type Checkpoint, rawCheckpoint } from './checkpoint.js';
import { isMlx, mlxCheckpoint, mlxQuantization } from './mlx.js';
import { fromMlxLm } from './mlx_lm.js';
import { parseQuantization } from './quantization.js';
import { quantizedCheckpoint } from './quantized.js';
import { openSafetensors } from './safetensors.js';
import { weightMap } from './shard_index.js';
import type { TensorFile } from './tensor_file.js';

/** The reader of old files is loaded only if it is needed. */
const openPyTorchBin = async (source: ByteSource): Promise<TensorFile> =>
  (await import('./pytorch_bin.js')).openPyTorchBin(source);

/** Files with a model's weights, in order of preference. */
export const WEIGHT_FILES = [
  { whole: 'model.safetensors', index: 'model.safetensors.index.json', open: openSafetensors },
  { whole: 'pytorch_model.bin', index: 'pytorch_model.bin.index.json', open: openPyTorchBin },
];

/**
 * Opens the weights of a model folder: model.safetensors or pytorch_model.bin, whole or in shards listed by
 * an index.json. Files of cartesia-mlx have their tensors under the original's names.
 *
 * @param configJson the content of its config.json. Default: read from the folder.
 * @throws CheckpointError if there are no weights, or a file is missing or damaged
 */
export async function openCheckpoint(dir: string, configJson?: unknown): Promise<Checkpoint> {
  const config = configJson ?? (await readConfigJson(dir));
  const files = await openFiles(dir);
  try {
    return checkpointOf(dir, files, config);
  } catch (error) {
    for (const file of files) await file.close();
    throw error;
  }
}

/** The content of a folder's config.json; undefined if there is none. @throws CheckpointError */
export async function readConfigJson(dir: string): Promise<unknown> {
  const { fileExists, readJsonFile } = await import('./node_files.js');
  const path = `${dir}/config.json`;
  return (await fileExists(path)) ? readJsonFile(path) : undefined;
}

/** The configuration that cartesia-mlx wrote into a folder's model.safetensors, if any. */
export async function readMlxMetadata(
  dir: string,
): Promise<ReadonlyMap<string, string> | undefined> {
  const { fileExists, openFile } = await import('./node_files.js');
  const path = `${dir}/model.safetensors`;
  if (!(await fileExists(path))) return undefined;
  const { metadata, close } = await openSafetensors(await openFile(path));
  await close();
  return isMlx(metadata) ? metadata : undefined;
}

async function openFiles(dir: string): Promise<TensorFile[]> {
  const { fileExists, folderExists, openFile } = await import('./node_files.js');
  for (const { whole, index, open } of WEIGHT_FILES) {
    const path = `${dir}/${whole}`;
    if (await fileExists(path)) return [await open(await openFile(path))];
    if (await fileExists(`${dir}/${index}`)) return openShards(dir, index, open);
  }
  const found = (await folderExists(dir)) ? 'a folder without them' : 'no such folder';
  const wanted = WEIGHT_FILES.flatMap(({ whole, index }) => [whole, index]).join(', ');
  throw new CheckpointError(
    `${dir}: expected a model folder with one of ${wanted}; found ${found}`,
  );
}

async function openShards(
  dir: string,
  index: string,
  open: (typeof WEIGHT_FILES)[number]['open'],
): Promise<TensorFile[]> {
  const { openFile, readJsonFile } = await import('./node_files.js');
  const path = `${dir}/${index}`;
  const shardOf = weightMap(await readJsonFile(path), path);
  const files = new Map<string, TensorFile>();
  try {
    for (const shard of new Set(shardOf.values())) {
      files.set(shard, await open(await openFile(`${dir}/${shard}`)));
    }
    for (const [name, shard] of shardOf) {
      if (files.get(shard)?.tensors.has(name)) continue;
      throw new CheckpointError(`${path}: lists '${name}' in ${shard}, which does not contain it`);
    }
    return [...files.values()];
  } catch (error) {
    for (const file of files.values()) await file.close();
    throw error;
  }
}

/**
 * A checkpoint of open files, which it closes. In a browser these are files that the user selected, or URLs.
 *
 * @param path name of the checkpoint in errors
 * @param config its config.json. Only model_type and the quantization section are used.
 */
export function checkpointOf(
  path: string,
  files: readonly TensorFile[],
  config?: unknown,
): Checkpoint {
  const checkpoint = rawCheckpoint(path, files, tensorNaming(config));
  const { metadata } = checkpoint;
  const quantization = isMlx(metadata)
    ? mlxQuantization(metadata, path)
    : parseQuantization(config, `${path}/config.json`);
  const numbers = quantization ? quantizedCheckpoint(checkpoint, quantization) : checkpoint;
  return isMlx(metadata) ? mlxCheckpoint(numbers) : fromMlxLm(numbers, config);
}
