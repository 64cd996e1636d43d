// Converts any readable checkpoint to a folder that the original Python code loads, a few rows at a time,
// without a backend and without the whole model in memory.
import { join } from 'node:path';
import type { ParameterSpec, StoredDType } from '@rene-js/layers';
import { narrow, widen } from '@rene-js/layers/internal';
import { blueprintOf, modelConfigToJson } from '../architectures/index.js';
import { CheckpointError } from '../errors.js';
import type { Checkpoint } from './checkpoint.js';
import { jsonFile } from './json_file.js';
import { checkNamesAndShapes } from './load_parameters.js';
import { fileExists } from './node_files.js';
import { openModelFolder } from './open_model_folder.js';
import { TOKENIZER_FILES } from './resolve.js';
import { type TensorToWrite, writeSafetensors } from './safetensors.js';
import { copyOf, type FolderFile, isSameFolder, writeFolder } from './write_folder.js';

export interface ConvertOptions {
  /** dtype of the matrices in the new file. Default: unchanged; F32 for quantised values. */
  dtype?: StoredDType | undefined;
  /** Maximum bytes of f32 values in memory at a time. Default: 8 MiB. */
  pieceBytes?: number | undefined;
  /** Called with the number of values written and the total. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Writes a model folder anew: model.safetensors and config.json as the original Python loads them,
 * and the tokenizer and generation_config.json if the folder has them. Shards become one file,
 * pytorch_model.bin and MLX's files become safetensors with the original's names, a repeated tied head is
 * left out. Norms and other vectors become F32, which loses nothing.
 *
 * @returns the names of the files that were written
 * @throws ConfigError, CheckpointError, FileError; then `to` is as it was before
 */
export async function convertCheckpoint(
  from: string,
  to: string,
  { dtype, pieceBytes = 8 << 20, onProgress }: ConvertOptions = {},
): Promise<string[]> {
  if (await isSameFolder(from, to)) {
    throw new CheckpointError(`${to}: expected a folder other than the input folder`);
  }
  const { config, checkpoint } = await openModelFolder(from);
  try {
    const blueprint = blueprintOf(config);
    const specs = blueprint.tensors;
    checkNamesAndShapes(checkpoint, blueprint);
    const total = specs.reduce((sum, spec) => sum + sizeOf(spec), 0);
    let done = 0;
    const count = (values: number) => {
      done += values;
      onProgress?.(done, total);
    };
    const pieces = { dtype, values: pieceBytes / 4, count };
    const tensors = specs.map((spec) => tensorOf(checkpoint, spec, pieces));
    const files = [
      jsonFile('config.json', modelConfigToJson(config)),
      ...(await companionFiles(from)),
      {
        name: 'model.safetensors',
        write: (put: (bytes: Uint8Array) => Promise<void>) =>
          writeSafetensors(tensors, { format: 'pt' }, put),
      },
    ];
    await writeFolder(to, files);
    return files.map(({ name }) => name);
  } finally {
    await checkpoint.close();
  }
}

/** Copies the tokenizer and generation_config.json of a model folder. */
export async function companionFiles(dir: string): Promise<FolderFile[]> {
  const files: FolderFile[] = [];
  for (const name of [...TOKENIZER_FILES, 'generation_config.json']) {
    const path = join(dir, name);
    if (await fileExists(path)) files.push(copyOf(path, name));
  }
  return files;
}

/** How matrices are written. */
interface Pieces {
  dtype: StoredDType | undefined;
  /** Maximum number of values per piece, unless a row has more. */
  values: number;
  /** Called with the number of values of each piece. */
  count: (values: number) => void;
}

function tensorOf(
  checkpoint: Checkpoint,
  spec: ParameterSpec,
  { dtype, values: most, count }: Pieces,
): TensorToWrite {
  const { name, shape } = spec;
  if (spec.kind === 'vector') {
    const bytes = async () => narrow(await checkpoint.readF32(name), 'F32');
    return { name, shape, dtype: 'F32', bytes };
  }
  const matrix = checkpoint.storedMatrix(name);
  const target = dtype ?? matrix.dtype;
  const [rows, columns] = matrix.shape;
  const step = Math.max(1, Math.floor(most / columns));
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let first = 0; first < rows; first += step) {
      const piece = Math.min(step, rows - first);
      const bytes = await matrix.readRows(first, piece);
      count(piece * columns);
      if (matrix.dtype === target) {
        yield bytes;
        continue;
      }
      const values = new Float32Array(piece * columns);
      widen(bytes, matrix.dtype, values);
      const narrowed = narrow(values, target);
      if (target === 'F16') checkRange(values, narrowed, name);
      yield narrowed;
    }
  }
  return { name, shape, dtype: target, bytes: pieces };
}

/** F16 ends at 65504; larger weights would silently become infinite. */
function checkRange(values: Float32Array, narrowed: Uint8Array, name: string): void {
  const halves = new Uint16Array(narrowed.buffer, narrowed.byteOffset, values.length);
  const beyond = halves.findIndex((half) => (half & 0x7fff) === 0x7c00);
  if (beyond < 0 || !Number.isFinite(values[beyond])) return;
  throw new CheckpointError(
    `tensor '${name}' contains ${values[beyond]}, which is out of F16's range: use BF16 or F32`,
  );
}

function sizeOf({ kind, shape }: ParameterSpec): number {
  return kind === 'matrix' ? shape.reduce((size, axis) => size * axis, 1) : 0;
}
