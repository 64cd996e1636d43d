// Matrices stored as codes: `x.weight` holds packed 4- or 8-bit codes, `x.scales` and `x.biases` one
// number a group of columns, value = code * scale + bias. MLX's layout, and that of our own files.
import {
  type QuantizedMatrix,
  type QuantizedRows,
  type StoredMatrix,
  widen,
} from '@rene-js/layers';
import { CheckpointError, ConfigError } from '../errors.js';
import { asRecord } from '../json.js';
import type { Checkpoint } from './checkpoint.js';
import type { TensorToWrite } from './safetensors.js';

/** How a checkpoint's codes are packed; shapes alone do not tell. */
export interface Quantization {
  readonly bits: 4 | 8;
  /** Columns that share a scale and a bias. */
  readonly groupSize: number;
}

/** Reads the `quantization` section of a configuration; undefined where it has none. */
export function parseQuantization(section: unknown, where: string): Quantization | undefined {
  if (section === undefined || section === null) return undefined;
  const { bits, group_size: groupSize } = asRecord(section) ?? {};
  if (bits !== 4 && bits !== 8) {
    throw new ConfigError('quantization.bits', '4 or 8', JSON.stringify(bits) ?? 'nothing', where);
  }
  if (groupSize !== 32 && groupSize !== 64 && groupSize !== 128) {
    const found = JSON.stringify(groupSize) ?? 'nothing';
    throw new ConfigError('quantization.group_size', '32, 64 or 128', found, where);
  }
  return { bits, groupSize };
}

/**
 * Shows matrices of codes as matrices of numbers: one tensor of the matrix's own shape and of dtype
 * 'int4' or 'int8', whose codes are handed on to backends that take them as they are.
 */
export function quantizedCheckpoint(
  inner: Checkpoint,
  { bits, groupSize }: Quantization,
): Checkpoint {
  const isCodes = (name: string) => {
    const stem = stemOf(name);
    return stem !== undefined && inner.has(name) && inner.has(`${stem}.scales`);
  };
  const isPart = (name: string) => /\.(scales|biases)$/.test(name) && isCodes(weightOf(name));
  const names = inner.names.filter((name) => !isPart(name));
  const quantized = (name: string) => codesOf(inner, name, bits, groupSize);
  return {
    ...inner,
    names,
    has: (name) => inner.has(name) && !isPart(name),
    info(name) {
      if (!isCodes(name)) return inner.info(name);
      return { dtype: `int${bits}`, shape: quantized(name).shape };
    },
    storedMatrix(name) {
      return isCodes(name) ? storedMatrix(quantized(name)) : inner.storedMatrix(name);
    },
  };
}

function stemOf(name: string): string | undefined {
  return name.endsWith('.weight') ? name.slice(0, -'.weight'.length) : undefined;
}

function weightOf(part: string): string {
  return part.replace(/\.(scales|biases)$/, '.weight');
}

/** A QuantizedMatrix whose scales may also be f32. */
type Codes = Omit<QuantizedMatrix, 'parameterDType' | 'readRows'> & {
  parameterDType: 'F32' | 'F16' | 'BF16';
  readRows(first: number, count: number): Promise<QuantizedRows>;
};

function codesOf(inner: Checkpoint, name: string, bits: 4 | 8, groupSize: number): Codes {
  const stem = stemOf(name) ?? name;
  const fail = (problem: string) => new CheckpointError(`${inner.path}: '${name}': ${problem}`);
  const { dtype, shape } = inner.info(name);
  const [rows, words] = shape;
  if (dtype !== 'U32' || shape.length !== 2 || rows === undefined || words === undefined) {
    throw fail(`expected a matrix of U32 codes, found ${dtype} of shape [${shape.join(', ')}]`);
  }
  const columns = (words * 32) / bits;
  const groups = columns / groupSize;
  const scales = inner.info(`${stem}.scales`);
  for (const part of ['scales', 'biases']) {
    const { dtype, shape } = inner.info(`${stem}.${part}`);
    if (shape.length === 2 && shape[0] === rows && shape[1] === groups && dtype === scales.dtype) {
      continue;
    }
    throw fail(
      `its ${part} are ${dtype} of shape [${shape.join(', ')}], expected ${scales.dtype} of ` +
        `[${rows}, ${groups}] for ${bits} bits in groups of ${groupSize}`,
    );
  }
  const parameterDType = scales.dtype;
  if (parameterDType !== 'F32' && parameterDType !== 'F16' && parameterDType !== 'BF16') {
    throw fail(`its scales have dtype ${parameterDType}, expected F16, BF16 or F32`);
  }
  const rowsOf = (part: string, rowBytes: number) => (first: number, count: number) =>
    inner.read(`${stem}.${part}`, first * rowBytes, count * rowBytes);
  const readCodes = rowsOf('weight', words * 4);
  const readScales = rowsOf('scales', groups * (parameterDType === 'F32' ? 4 : 2));
  const readOffsets = rowsOf('biases', groups * (parameterDType === 'F32' ? 4 : 2));
  return {
    format: bits === 4 ? 'int4' : 'int8',
    shape: [rows, columns],
    groupSize,
    parameterDType,
    async readRows(first, count) {
      return {
        codes: await readCodes(first, count),
        scales: await readScales(first, count),
        offsets: await readOffsets(first, count),
      };
    },
  };
}

/** The numbers themselves, for who cannot use codes. */
function storedMatrix(codes: Codes): StoredMatrix {
  const { parameterDType, readRows } = codes;
  return {
    shape: codes.shape,
    dtype: 'F32',
    async readRows(first, count) {
      const values = dequantize(await readRows(first, count), codes, count);
      return new Uint8Array(values.buffer);
    },
    ...(parameterDType !== 'F32' && { quantized: { ...codes, parameterDType } }),
  };
}

function dequantize(rows: QuantizedRows, codes: Codes, count: number): Float32Array {
  const { format, groupSize, parameterDType, shape } = codes;
  const [, columns] = shape;
  const values = new Float32Array(count * columns);
  const groups = values.length / groupSize;
  const scales = new Float32Array(groups);
  const offsets = new Float32Array(groups);
  widen(rows.scales, parameterDType, scales);
  widen(rows.offsets, parameterDType, offsets);
  for (let group = 0; group < groups; group++) {
    const scale = scales[group] ?? 0;
    const offset = offsets[group] ?? 0;
    const end = (group + 1) * groupSize;
    for (let i = group * groupSize; i < end; i++) {
      const byte = rows.codes[format === 'int8' ? i : i >> 1] ?? 0;
      const code = format === 'int8' ? byte : (byte >> ((i & 1) * 4)) & 15;
      values[i] = code * scale + offset;
    }
  }
  return values;
}

/** The three tensors of a matrix of codes, as they are written into a file. */
export function codesToWrite(name: string, matrix: QuantizedMatrix): TensorToWrite[] {
  const stem = stemOf(name) ?? name;
  const [rows, columns] = matrix.shape;
  const groups = columns / matrix.groupSize;
  const words = (columns * (matrix.format === 'int4' ? 4 : 8)) / 32;
  const part = (suffix: string, dtype: string, width: number, key: keyof QuantizedRows) => ({
    name: `${stem}.${suffix}`,
    dtype,
    shape: [rows, width],
    bytes: async () => (await matrix.readRows(0, rows))[key],
  });
  return [
    part('weight', 'U32', words, 'codes'),
    part('scales', matrix.parameterDType, groups, 'scales'),
    part('biases', matrix.parameterDType, groups, 'offsets'),
  ];
}
