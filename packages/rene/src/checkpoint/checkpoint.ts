// A model's tensors on disk: one file or several, safetensors or PyTorch's, behind one face.
import type { StoredMatrix } from '@rene-js/layers';
import { CheckpointError } from '../errors.js';
import { isMlx, mlxCheckpoint, mlxQuantization } from './mlx.js';
import { openPyTorchBin } from './pytorch_bin.js';
import { parseQuantization } from './quantization.js';
import { quantizedCheckpoint } from './quantized.js';
import { openSafetensors } from './safetensors.js';
import { weightMap } from './shard_index.js';
import {
  floatDType,
  readF32,
  type TensorFile,
  type TensorInfo,
  tensorInfo,
} from './tensor_file.js';
import { modelNames } from './wrapped_names.js';

/** An open checkpoint. Close it when its tensors have been read. */
export interface Checkpoint {
  /** The folder or file that was opened. */
  readonly path: string;
  readonly names: readonly string[];
  /** What the files' writer attached. */
  readonly metadata: ReadonlyMap<string, string>;
  has(name: string): boolean;
  /**
   * The tensor's shape, and its dtype as safetensors spells it, or 'int4' or 'int8' for codes.
   *
   * @throws CheckpointError when there is no such tensor.
   */
  info(name: string): TensorInfo;
  /** Bytes [start, start + length) of a tensor as they are in the file. */
  read(name: string, start: number, length: number): Promise<Uint8Array>;
  /** A matrix (F32, F16, BF16 or codes) to be read a few rows at a time. */
  storedMatrix(name: string): StoredMatrix;
  /** A whole tensor as f32; for norms, biases and other small ones. */
  readF32(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** The files that can hold a model's weights, the preferred ones first. */
export const WEIGHT_FILES = [
  { whole: 'model.safetensors', index: 'model.safetensors.index.json', open: openSafetensors },
  { whole: 'pytorch_model.bin', index: 'pytorch_model.bin.index.json', open: openPyTorchBin },
];

/**
 * Opens the weights of a model folder: model.safetensors or pytorch_model.bin, whole or in shards
 * listed by an index.json. Files of cartesia-mlx show their tensors under the original's names.
 *
 * @throws CheckpointError when there is none, or a file is missing or damaged.
 */
export async function openCheckpoint(dir: string): Promise<Checkpoint> {
  const { fileExists, readJsonFile } = await import('./node_files.js');
  const path = `${dir}/config.json`;
  const config = (await fileExists(path)) ? await readJsonFile(path) : undefined;
  const files = await openFiles(dir);
  try {
    return checkpointOf(dir, files, config);
  } catch (error) {
    for (const file of files) await file.close();
    throw error;
  }
}

/** The configuration that cartesia-mlx wrote into a folder's model.safetensors, if it did. */
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
      throw new CheckpointError(`${path}: says that '${name}' is in ${shard}, which lacks it`);
    }
    return [...files.values()];
  } catch (error) {
    for (const file of files.values()) await file.close();
    throw error;
  }
}

/**
 * A checkpoint of open files, which it closes: in the browser, of files that the user chose or that
 * are fetched in pieces.
 *
 * @param path how errors call it.
 * @param config its config.json; only the quantization section is looked at.
 */
export function checkpointOf(
  path: string,
  files: readonly TensorFile[],
  config?: unknown,
): Checkpoint {
  const checkpoint = rawCheckpoint(path, files);
  const { metadata } = checkpoint;
  const quantization = isMlx(metadata)
    ? mlxQuantization(metadata, path)
    : parseQuantization(config, `${path}/config.json`);
  const numbers = quantization ? quantizedCheckpoint(checkpoint, quantization) : checkpoint;
  return isMlx(metadata) ? mlxCheckpoint(numbers) : numbers;
}

/** The tensors of all files, by the model's names. */
function rawCheckpoint(path: string, files: readonly TensorFile[]): Checkpoint {
  const names = modelNames(path, files);
  const fileOf = new Map<string, { file: TensorFile; inFile: string }>();
  for (const file of files) {
    for (const inFile of file.tensors.keys()) {
      fileOf.set(names.get(inFile) ?? inFile, { file, inFile });
    }
  }
  const find = (name: string): { file: TensorFile; inFile: string } => {
    const found = fileOf.get(name);
    if (found) return found;
    throw new CheckpointError(`${path}: it has no tensor named '${name}'`);
  };
  return {
    path,
    names: [...fileOf.keys()],
    metadata: new Map(files.flatMap((file) => [...file.metadata])),
    has: (name) => fileOf.has(name),
    info(name) {
      const { file, inFile } = find(name);
      return tensorInfo(file, inFile);
    },
    async read(name, start, length) {
      const { file, inFile } = find(name);
      return file.read(inFile, start, length);
    },
    storedMatrix(name) {
      const { file, inFile } = find(name);
      return storedMatrix(file, inFile);
    },
    async readF32(name) {
      const { file, inFile } = find(name);
      return readF32(file, inFile);
    },
    async close() {
      for (const file of files) await file.close();
    },
  };
}

function storedMatrix(file: TensorFile, name: string): StoredMatrix {
  const { shape } = tensorInfo(file, name);
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new CheckpointError(
      `${file.name}: tensor '${name}' has shape [${shape.join(', ')}], expected a matrix`,
    );
  }
  const dtype = floatDType(file, name);
  const rowBytes = columns * (dtype === 'F32' ? 4 : 2);
  return {
    shape: [rows, columns],
    dtype,
    readRows: (first, count) => file.read(name, first * rowBytes, count * rowBytes),
  };
}
