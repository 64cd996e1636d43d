// A model's tensors on disk: one file or several, safetensors or PyTorch's, behind one face.
import type { StoredMatrix } from '@rene-js/layers';
import { CheckpointError } from '../errors.js';
import { isMlx, mlxCheckpoint, mlxQuantization } from './mlx.js';
import { fileExists, folderExists, openFile, readJsonFile } from './node_files.js';
import { openPyTorchBin } from './pytorch_bin.js';
import { parseQuantization, type Quantization, quantizedCheckpoint } from './quantized.js';
import { openSafetensors } from './safetensors.js';
import {
  floatDType,
  readF32,
  type TensorFile,
  type TensorInfo,
  tensorInfo,
} from './tensor_file.js';

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
const WEIGHT_FILES = [
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
  const checkpoint = await openFiles(dir);
  try {
    if (isMlx(checkpoint.metadata)) {
      const quantization = mlxQuantization(checkpoint.metadata, checkpoint.path);
      return mlxCheckpoint(
        quantization ? quantizedCheckpoint(checkpoint, quantization) : checkpoint,
      );
    }
    const quantization = await configuredQuantization(dir);
    return quantization ? quantizedCheckpoint(checkpoint, quantization) : checkpoint;
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** The configuration that cartesia-mlx wrote into a folder's model.safetensors, if it did. */
export async function readMlxMetadata(
  dir: string,
): Promise<ReadonlyMap<string, string> | undefined> {
  const path = `${dir}/model.safetensors`;
  if (!(await fileExists(path))) return undefined;
  const { metadata, close } = await openSafetensors(await openFile(path));
  await close();
  return isMlx(metadata) ? metadata : undefined;
}

/** The quantization section of a folder's config.json. */
async function configuredQuantization(dir: string): Promise<Quantization | undefined> {
  const path = `${dir}/config.json`;
  if (!(await fileExists(path))) return undefined;
  const json = await readJsonFile(path);
  const hasSection = typeof json === 'object' && json !== null && 'quantization' in json;
  return hasSection ? parseQuantization(json.quantization, path) : undefined;
}

async function openFiles(dir: string): Promise<Checkpoint> {
  for (const { whole, index, open } of WEIGHT_FILES) {
    const path = `${dir}/${whole}`;
    if (await fileExists(path)) return checkpointOf(dir, [await open(await openFile(path))]);
    if (await fileExists(`${dir}/${index}`)) return openSharded(dir, index, open);
  }
  const found = (await folderExists(dir)) ? 'a folder without them' : 'no such folder';
  const wanted = WEIGHT_FILES.flatMap(({ whole, index }) => [whole, index]).join(', ');
  throw new CheckpointError(
    `${dir}: expected a model folder with one of ${wanted}; found ${found}`,
  );
}

async function openSharded(
  dir: string,
  index: string,
  open: (typeof WEIGHT_FILES)[number]['open'],
): Promise<Checkpoint> {
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
    return checkpointOf(dir, [...files.values()]);
  } catch (error) {
    for (const file of files.values()) await file.close();
    throw error;
  }
}

/** Tensor name to the file that holds it. */
function weightMap(json: unknown, path: string): Map<string, string> {
  const map = typeof json === 'object' && json !== null && 'weight_map' in json && json.weight_map;
  if (typeof map !== 'object' || map === null) {
    throw new CheckpointError(`${path}: expected an object named weight_map`);
  }
  return new Map(
    Object.entries(map).map(([name, shard]): [string, string] => {
      // A plain name only: an index must not make us open files elsewhere.
      if (typeof shard === 'string' && /^[\w.-]+$/.test(shard) && !shard.startsWith('.')) {
        return [name, shard];
      }
      throw new CheckpointError(`${path}: '${name}' is said to be in ${JSON.stringify(shard)}`);
    }),
  );
}

/** A checkpoint of open files, which it closes; e.g. one that the browser's user chose. */
export function checkpointOf(path: string, files: readonly TensorFile[]): Checkpoint {
  const fileOf = new Map<string, TensorFile>();
  for (const file of files) {
    for (const name of file.tensors.keys()) fileOf.set(name, file);
  }
  const find = (name: string): TensorFile => {
    const file = fileOf.get(name);
    if (file) return file;
    throw new CheckpointError(`${path}: it has no tensor named '${name}'`);
  };
  return {
    path,
    names: [...fileOf.keys()],
    metadata: new Map(files.flatMap((file) => [...file.metadata])),
    read: async (name, start, length) => find(name).read(name, start, length),
    has: (name) => fileOf.has(name),
    info: (name) => tensorInfo(find(name), name),
    storedMatrix: (name) => storedMatrix(find(name), name),
    readF32: async (name) => readF32(find(name), name),
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
