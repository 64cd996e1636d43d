// Packers: one per backend, from a file's matrices to the backend's packed form and back.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../errors.js';
import { isIntFormat, type PackedWeight, rowsWeight, type WeightFormat } from './packed_weight.js';

/** The dtypes in which weights are stored, with safetensors' names. */
export type StoredDType = 'F32' | 'F16' | 'BF16';

/** Bytes per value. */
export const storedBytes: Readonly<Record<StoredDType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** A row-major matrix in a file or an array, read in ranges of rows. */
export interface StoredMatrix {
  readonly shape: readonly [rows: number, columns: number];
  readonly dtype: StoredDType;
  /**
   * Little-endian bytes of rows [first, first + count).
   *
   * @param into where they may be put. Then it is what is returned.
   */
  readRows(first: number, count: number, into?: Uint8Array): Promise<Uint8Array> | Uint8Array;
  /** Whether bf16 would round these values once more, so that they are packed as f32 instead. Default: false. */
  readonly needsF32?: boolean;
  /** The quantised values, if the matrix is stored so. */
  readonly quantized?: QuantizedMatrix;
}

/**
 * A matrix quantised in groups along its columns, value = code * scale + offset, as in MLX and in our
 * quantised checkpoints.
 */
export interface QuantizedMatrix {
  readonly format: 'int8' | 'int4';
  readonly shape: readonly [rows: number, columns: number];
  readonly groupSize: number;
  readonly parameterDType: 'F16' | 'BF16';
  /**
   * Rows [first, first + count); `first` is a multiple of 8.
   *
   * @param into where their bytes may be put. Then its arrays are returned.
   */
  readRows(
    first: number,
    count: number,
    into?: QuantizedRows,
  ): Promise<QuantizedRows> | QuantizedRows;
}

/** Rows of a quantised matrix. */
export interface QuantizedRows {
  /** Quantised values (unsigned), row-major, in little-endian 32-bit words, the first in the lowest bits. */
  readonly values: Uint8Array;
  /** Little-endian values of parameterDType, row-major, one per group. */
  readonly scales: Uint8Array;
  readonly offsets: Uint8Array;
}

/** Converts matrices to a backend's packed form and back. */
export interface WeightPacker {
  /** Formats that this backend keeps in memory without conversion. */
  readonly formats: readonly WeightFormat[];
  /** Free bytes for weights; absent if unknown. */
  availableBytes?(): number;
  /** Maximum bytes of all weights together; absent if only the machine limits them. */
  readonly maximumBytes?: number;
  /**
   * Formats whose matmuls with many rows also round the activations to 16 bits, for tensor cores. Results
   * are then within a relative 1e-2 of f32. Default: none.
   */
  readonly roundedProducts?: readonly WeightFormat[];
  /**
   * Packs a matrix.
   *
   * @param groupSize columns per scale in int8 and int4
   */
  pack(matrix: StoredMatrix, format: WeightFormat, groupSize: number): Promise<PackedWeight>;
  /** The matrix as row-major f32. */
  unpack(weight: PackedWeight): Promise<Float32Array>;
  /** Packs quantised values without rounding; absent if the backend has no integer formats. */
  packQuantized?(matrix: QuantizedMatrix): Promise<PackedWeight>;
  /** The quantised values of an int8 or int4 weight, for a quantised checkpoint. */
  exportQuantized?(weight: PackedWeight): QuantizedMatrix;
}

const packers = new Map<string, WeightPacker>();

/** Registers how a backend packs weights. Default: plain f32 tensors. */
export function registerWeightPacker(backendName: string, packer: WeightPacker): void {
  packers.set(backendName, packer);
}

/** The packer of the current backend, else the one for plain f32 rows. */
export function weightPacker(): WeightPacker {
  return packers.get(tf.getBackend()) ?? rowsPacker;
}

/** Bits per weight, without scales and offsets. */
export const FORMAT_BITS: Readonly<Record<WeightFormat, number>> = {
  f32: 32,
  bf16: 16,
  f16: 16,
  int8: 8,
  int4: 4,
};

/**
 * Bytes of a matrix in a format, with a 16-bit scale and a 16-bit offset per group in the integer formats.
 *
 * @param groupSize for integer formats. Default: 64
 */
export function weightBytes(
  format: WeightFormat,
  [rows, columns]: readonly [rows: number, columns: number],
  groupSize = 64,
): number {
  const parameterBits = isIntFormat(format) ? 32 / groupSize : 0;
  return (rows * columns * (FORMAT_BITS[format] + parameterBits)) / 8;
}

/** Rows read from the file at a time, so that a large matrix is not in memory twice. */
const PIECE_BYTES = 16 << 20;

/** Packs any stored dtype as one plain f32 tensor. */
export const rowsPacker: WeightPacker = {
  formats: ['f32'],
  async pack(matrix, format) {
    if (format !== 'f32') {
      throw new BackendError(
        `the backend '${tf.getBackend()}' supports f32 weights only, found ${format}; ` +
          "use f32, or a backend that supports it, such as 'simd'",
      );
    }
    return rowsWeight(tf.keep(tf.tensor2d(await readAsF32(matrix), [...matrix.shape])));
  },
  async unpack(weight) {
    const values = await weight.tensor.data();
    if (!(values instanceof Float32Array)) throw new BackendError('a rows weight is not f32');
    return values;
  },
};

/** The whole matrix, converted while it is read. */
export async function readAsF32(matrix: StoredMatrix): Promise<Float32Array> {
  const [rows, columns] = matrix.shape;
  const values = new Float32Array(rows * columns);
  const rowBytes = columns * storedBytes[matrix.dtype];
  const piece = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
  for (let first = 0; first < rows; first += piece) {
    const count = Math.min(piece, rows - first);
    const bytes = await matrix.readRows(first, count);
    widen(bytes, matrix.dtype, values.subarray(first * columns, (first + count) * columns));
  }
  return values;
}

/** Converts little-endian F32, F16 or BF16 bytes to f32 values; exact. */
export function widen(bytes: Uint8Array, dtype: StoredDType, values: Float32Array): void {
  if (dtype === 'F32') {
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(bytes);
    return;
  }
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes);
  const halves = new Uint16Array(aligned.buffer, aligned.byteOffset, values.length);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i] ?? 0;
    bits[i] = dtype === 'BF16' ? half << 16 : f16Bits(half);
  }
}

/** The bits of the f32 with the value of a half-precision number. */
function f16Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  // Subnormal: shift up until the hidden bit appears.
  const shift = Math.clz32(mantissa) - 21;
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}
