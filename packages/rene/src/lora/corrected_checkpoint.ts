// A checkpoint with an adapter applied, a few rows at a time while the model is loaded.
import type { StoredMatrix } from '@rene-js/layers';
import { widen } from '@rene-js/layers/internal';
import { blueprintOf } from '../architectures/index.js';
import type { ModelConfig } from '../architectures/model_config.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { CheckpointError } from '../errors.js';
import { type Adapter, correctionTensors, type Factors, readFactors } from './adapter_file.js';
import type { Correction } from './target_modules.js';

const HEAD = 'lm_head.weight';

/**
 * The configuration of a model with changed parameters: embedding and head are untied if one of them
 * changes.
 */
export function separateHead<Config extends ModelConfig>(
  config: Config,
  changed: Iterable<string>,
): Config {
  if (!config.tieWordEmbeddings) return config;
  const { embedding } = blueprintOf(config);
  const isChanged = [...changed].some((name) => name === HEAD || name === embedding);
  return isChanged ? { ...config, tieWordEmbeddings: false, lmHeadBias: false } : config;
}

/** The configuration of a model under an adapter. */
export function adaptedConfig(
  config: ModelConfig,
  { corrections, replaced }: Adapter,
): ModelConfig {
  return separateHead(config, [...corrections.keys(), ...replaced]);
}

/**
 * The base model's tensors with the adapter applied. Adapted matrices are F32; the others stay as they are.
 * The caller closes both.
 */
export function correctedCheckpoint(
  base: Checkpoint,
  adapter: Adapter,
  config: ModelConfig,
): Checkpoint {
  const { tieWordEmbeddings } = config;
  const { embedding } = blueprintOf(config);
  const { corrections, replaced, addedBiases } = adapter;
  // A tied head is read from the embedding; a copy of it in the file is not looked at.
  const source = (name: string) => (name === HEAD && tieWordEmbeddings ? embedding : name);
  const isChanged = (name: string) =>
    corrections.has(name) || replaced.has(name) || addedBiases.has(name);
  const uncorrected = (name: string): StoredMatrix => {
    const own = base.storedMatrix(source(name));
    if (!replaced.has(name)) return own;
    let values: Promise<Float32Array> | undefined;
    return rowsOf(own.shape, async (first, count) => {
      values ??= adapter.read(name);
      const [, columns] = own.shape;
      return (await values).slice(first * columns, (first + count) * columns);
    });
  };
  const storedMatrix = (name: string): StoredMatrix => {
    const correction = corrections.get(name);
    const matrix = uncorrected(name);
    return correction ? correctedMatrix(matrix, correction, adapter) : matrix;
  };
  const hasOwnHead = tieWordEmbeddings && (isChanged(HEAD) || isChanged(embedding));
  return {
    ...base,
    names: hasOwnHead ? [...new Set([...base.names, HEAD])] : base.names,
    has: (name) => (hasOwnHead && name === HEAD) || base.has(name),
    info: (name) => base.info(source(name)),
    read(name, start, length) {
      if (!isChanged(name)) return base.read(name, start, length);
      throw new CheckpointError(`${base.path}: '${name}' is adapted and has no stored bytes`);
    },
    storedMatrix,
    async readF32(name) {
      if (corrections.has(name)) return rowsAsF32(storedMatrix(name));
      const values = replaced.has(name)
        ? await adapter.read(name)
        : await base.readF32(source(name));
      const added = addedBiases.get(name);
      const { bias: spec } = added ? correctionTensors(added, adapter.config) : {};
      if (!added || !spec) return values;
      const bias = await adapter.read(spec.name);
      return values.map((value, i) => value + added.scale * (bias[i] ?? 0));
    },
  };
}

function rowsOf(
  shape: StoredMatrix['shape'],
  read: (first: number, count: number) => Promise<Float32Array>,
): StoredMatrix {
  return {
    shape,
    dtype: 'F32',
    async readRows(first, count) {
      const values = await read(first, count);
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    },
  };
}

/** The factors are read with the first rows and freed with the matrix. */
function correctedMatrix(
  base: StoredMatrix,
  correction: Correction,
  adapter: Adapter,
): StoredMatrix {
  let ready: Promise<{ factors: Factors; columnScale: Float64Array | undefined }> | undefined;
  const prepare = async () => {
    const factors = await readFactors(adapter, correction);
    const { magnitude } = factors;
    const isEmbedding = correction.kind === 'embedding';
    const columnScale =
      isEmbedding && magnitude ? await columnScales(base, factors, correction.scale) : undefined;
    return { factors, columnScale };
  };
  return rowsOf(base.shape, async (first, count) => {
    ready ??= prepare();
    const { factors, columnScale } = await ready;
    const rows = await sumRows(base, factors, correction.scale, first, count);
    if (columnScale) return Float32Array.from(rows, (value, i) => value * scaleAt(columnScale, i));
    const { magnitude } = factors;
    if (magnitude) scaleRows(rows, magnitude.subarray(first, first + count));
    return Float32Array.from(rows);
  });
}

function scaleAt(scales: Float64Array, i: number): number {
  return scales[i % scales.length] ?? 0;
}

/** Scales each row to its magnitude. */
function scaleRows(values: Float64Array, lengths: Float32Array): void {
  const columns = values.length / lengths.length;
  lengths.forEach((length, i) => {
    const row = values.subarray(i * columns, (i + 1) * columns);
    let squares = 0;
    for (const value of row) squares += value * value;
    const factor = length / Math.sqrt(squares);
    for (let j = 0; j < columns; j++) row[j] = (row[j] ?? 0) * factor;
  });
}

/** Rows [first, first + count) of W + scale * B A, computed in float64. */
async function sumRows(
  base: StoredMatrix,
  { a, b }: Factors,
  scale: number,
  first: number,
  count: number,
): Promise<Float64Array> {
  const [allRows, columns] = base.shape;
  const rank = b.length / allRows;
  const sums = Float64Array.from(await rowsAsF32(base, first, count));
  for (let i = 0; i < count; i++) {
    const row = sums.subarray(i * columns, (i + 1) * columns);
    for (let k = 0; k < rank; k++) {
      const weight = (b[(first + i) * rank + k] ?? 0) * scale;
      const from = k * columns;
      for (let j = 0; j < columns; j++) row[j] = (row[j] ?? 0) + weight * (a[from + j] ?? 0);
    }
  }
  return sums;
}

/** DoRA on an embedding: the factors of the columns of W + scale * B A. */
async function columnScales(
  base: StoredMatrix,
  factors: Factors,
  scale: number,
): Promise<Float64Array> {
  const [rows, columns] = base.shape;
  const squares = new Float64Array(columns);
  const step = Math.max(1, Math.floor((1 << 20) / columns));
  for (let first = 0; first < rows; first += step) {
    const count = Math.min(step, rows - first);
    const sums = await sumRows(base, factors, scale, first, count);
    for (let i = 0; i < sums.length; i++) {
      squares[i % columns] = (squares[i % columns] ?? 0) + (sums[i] ?? 0) ** 2;
    }
  }
  return squares.map((square, j) => (factors.magnitude?.[j] ?? 0) / Math.sqrt(square));
}

async function rowsAsF32(
  matrix: StoredMatrix,
  first = 0,
  count = matrix.shape[0],
): Promise<Float32Array> {
  const values = new Float32Array(count * matrix.shape[1]);
  widen(await matrix.readRows(first, count), matrix.dtype, values);
  return values;
}
