// Quantised matrices: `x.weight` has packed quantised values of 2 to 8 bits, `x.scales` and `x.biases` have
// one value per group of columns; value = quantised * scale + bias. This is MLX's layout, and that of our
// files.
import type { QuantizedMatrix, QuantizedRows, StoredMatrix } from '@rene-js/layers';
import { widen } from '@rene-js/layers/internal';
import { CheckpointError } from '../errors.js';
import type { Checkpoint } from './checkpoint.js';
import { packNibbles, unpackIntegers } from './packed_integers.js';
import type { Quantization, QuantizationPlan } from './quantization.js';
import type { TensorToWrite } from './safetensors.js';

/**
 * Presents a quantised matrix as one tensor of the matrix's shape, with a dtype such as 'int4'. Backends that
 * support it get the quantised values unchanged: 2 and 3 bits as 4 bits, 5 and 6 bits as 8, without rounding.
 */
export function quantizedCheckpoint(inner: Checkpoint, plan: QuantizationPlan): Checkpoint {
  const planOf = (name: string): Quantization | null => {
    const own = plan.modules.get(stemOf(name) ?? name);
    return own === undefined ? plan.general : own;
  };
  const isQuantized = (name: string) => {
    const stem = stemOf(name);
    if (stem === undefined || planOf(name) === null) return false;
    return inner.has(name) && inner.has(`${stem}.scales`);
  };
  const isPart = (name: string) => /\.(scales|biases)$/.test(name) && isQuantized(weightOf(name));
  // A matrix has the place of its last part, when all of it has been read.
  const wholes = inner.names.map((name) => (isPart(name) ? weightOf(name) : name));
  const names = [...new Set(wholes.reverse())].reverse();
  const quantized = (name: string) => quantizedOf(inner, name, planOf(name) ?? plan.general);
  return {
    ...inner,
    names,
    has: (name) => inner.has(name) && !isPart(name),
    info(name) {
      if (!isQuantized(name)) return inner.info(name);
      return { dtype: `int${planOf(name)?.bits}`, shape: quantized(name).shape };
    },
    storedMatrix(name) {
      return isQuantized(name) ? storedMatrix(quantized(name)) : inner.storedMatrix(name);
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
type Quantized = Omit<QuantizedMatrix, 'parameterDType' | 'readRows'> & {
  parameterDType: 'F32' | 'F16' | 'BF16';
  readRows(first: number, count: number, into?: QuantizedRows): Promise<QuantizedRows>;
};

function quantizedOf(
  inner: Checkpoint,
  name: string,
  { bits, groupSize }: Quantization,
): Quantized {
  const stem = stemOf(name) ?? name;
  const fail = (problem: string) => new CheckpointError(`${inner.path}: '${name}': ${problem}`);
  const { dtype, shape } = inner.info(name);
  const [rows, words] = shape;
  if (dtype !== 'U32' || shape.length !== 2 || rows === undefined || words === undefined) {
    throw fail(
      `expected a matrix of quantised values as U32, found ${dtype} of shape [${shape.join(', ')}]`,
    );
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
  const rowsOf =
    (part: string, rowBytes: number) => (first: number, count: number, into?: Uint8Array) =>
      inner.read(`${stem}.${part}`, first * rowBytes, count * rowBytes, into);
  const readValues = rowsOf('weight', words * 4);
  const readScales = rowsOf('scales', groups * (parameterDType === 'F32' ? 4 : 2));
  const readOffsets = rowsOf('biases', groups * (parameterDType === 'F32' ? 4 : 2));
  return {
    format: bits <= 4 ? 'int4' : 'int8',
    shape: [rows, columns],
    groupSize,
    parameterDType,
    async readRows(first, count, into) {
      const isPlain = bits === 4 || bits === 8;
      return {
        values: widened(await readValues(first, count, isPlain ? into?.values : undefined), bits),
        scales: await readScales(first, count, into?.scales),
        offsets: await readOffsets(first, count, into?.offsets),
      };
    },
  };
}

/** Quantised values widened to 4 or 8 bits. */
function widened(bytes: Uint8Array, bits: number): Uint8Array {
  if (bits === 4 || bits === 8) return bytes;
  const values = unpackIntegers(bytes, bits);
  return bits < 4 ? packNibbles(values) : values;
}

/** The dequantised values, for callers that need floats. */
function storedMatrix(matrix: Quantized): StoredMatrix {
  const { parameterDType, readRows } = matrix;
  return {
    shape: matrix.shape,
    dtype: 'F32',
    async readRows(first, count) {
      const values = dequantize(await readRows(first, count), matrix, count);
      return new Uint8Array(values.buffer);
    },
    ...(parameterDType !== 'F32' && { quantized: { ...matrix, parameterDType } }),
  };
}

function dequantize(rows: QuantizedRows, matrix: Quantized, count: number): Float32Array {
  const { format, groupSize, parameterDType, shape } = matrix;
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
      const byte = rows.values[format === 'int8' ? i : i >> 1] ?? 0;
      const code = format === 'int8' ? byte : (byte >> ((i & 1) * 4)) & 15;
      values[i] = code * scale + offset;
    }
  }
  return values;
}

/** The three tensors of a quantised matrix, as they are written to a file. */
export function quantizedTensors(name: string, matrix: QuantizedMatrix): TensorToWrite[] {
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
    part('weight', 'U32', words, 'values'),
    part('scales', matrix.parameterDType, groups, 'scales'),
    part('biases', matrix.parameterDType, groups, 'offsets'),
  ];
}
