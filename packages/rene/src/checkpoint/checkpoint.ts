// A model's tensors on disk: safetensors or PyTorch files, whole or in shards, behind one interface.
import type { StoredMatrix } from '@rene-js/layers';
import { CheckpointError } from '../errors.js';
import {
  floatDType,
  readF32,
  type TensorFile,
  type TensorInfo,
  tensorInfo,
} from './tensor_file.js';
import { modelNames } from './wrapped_names.js';

/** An open checkpoint. Close it after reading its tensors. */
export interface Checkpoint {
  /** The opened folder or file. */
  readonly path: string;
  readonly names: readonly string[];
  /** The files' metadata. */
  readonly metadata: ReadonlyMap<string, string>;
  has(name: string): boolean;
  /**
   * The tensor's shape and its dtype, with safetensors' names, or 'int4' or 'int8' for quantised values.
   *
   * @throws CheckpointError if there is no such tensor
   */
  info(name: string): TensorInfo;
  /** Bytes [start, start + length) of a tensor, as stored. They may be put `into`, which is then returned. */
  read(name: string, start: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /** A matrix (F32, F16, BF16 or quantised values), read a few rows at a time. */
  storedMatrix(name: string): StoredMatrix;
  /** A whole tensor as f32; for norms, biases and other small tensors. */
  readF32(name: string): Promise<Float32Array>;
  close(): Promise<void>;
  /** Whether mlx-lm wrote it. Default: false. */
  readonly isMlxLm?: boolean;
}

/**
 * The tensors of all files, by the model's names.
 *
 * @param naming from a name without a wrapper's parts to the model's. Default: the same.
 */
export function rawCheckpoint(
  path: string,
  files: readonly TensorFile[],
  naming: (name: string) => string = (name) => name,
): Checkpoint {
  const names = modelNames(path, files);
  const fileOf = new Map<string, { file: TensorFile; inFile: string }>();
  for (const file of files) {
    for (const inFile of file.tensors.keys()) {
      fileOf.set(naming(names.get(inFile) ?? inFile), { file, inFile });
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
    async read(name, start, length, into) {
      const { file, inFile } = find(name);
      return file.read(inFile, start, length, into);
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
    readRows: (first, count, into) => file.read(name, first * rowBytes, count * rowBytes, into),
  };
}
