// A file of named tensors in any format.
import type { StoredDType } from '@rene-js/layers';
import { widen } from '@rene-js/layers/internal';
import { CheckpointError } from '../errors.js';

/** Bytes per element of every dtype with a known size. Not all of them can be read. */
export const DTYPE_BYTES: ReadonlyMap<string, number> = new Map([
  ...(['BOOL', 'U8', 'I8', 'F8_E5M2', 'F8_E4M3'] as const).map((name) => [name, 1] as const),
  ...(['I16', 'U16', 'F16', 'BF16'] as const).map((name) => [name, 2] as const),
  ...(['I32', 'U32', 'F32'] as const).map((name) => [name, 4] as const),
  ...(['I64', 'U64', 'F64', 'C64'] as const).map((name) => [name, 8] as const),
]);

export interface TensorInfo {
  /** With safetensors' names: 'F32', 'BF16', 'I64'. */
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** An open file of tensors. Only its table of contents is in memory. */
export interface TensorFile {
  /** Its path or URL. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The file's metadata strings. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Bytes [start, start + length) of a tensor, little-endian and row-major. */
  read(name: string, start: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** A tensor of the file. @throws CheckpointError if there is none of that name */
export function tensorInfo(file: TensorFile, name: string): TensorInfo {
  const info = file.tensors.get(name);
  if (info) return info;
  throw new CheckpointError(`${file.name}: it has no tensor named '${name}'`);
}

/** Number of elements of a shape. The caller checks for infinite or unsafe sizes. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, axis) => size * axis, 1);
}

/** A dtype that can be read as f32. @throws CheckpointError for others, by name. */
export function floatDType(file: TensorFile, name: string): StoredDType {
  const { dtype } = tensorInfo(file, name);
  if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') return dtype;
  throw new CheckpointError(
    `${file.name}: tensor '${name}' has dtype ${dtype}; weights are read from F32, F16 and BF16`,
  );
}

/** A whole tensor of floating-point numbers as f32. */
export async function readF32(file: TensorFile, name: string): Promise<Float32Array> {
  const dtype = floatDType(file, name);
  const size = sizeOf(tensorInfo(file, name).shape);
  const bytes = await file.read(name, 0, size * (dtype === 'F32' ? 4 : 2));
  const values = new Float32Array(size);
  widen(bytes, dtype, values);
  return values;
}

/** A whole I32 or I64 tensor as int32. @throws CheckpointError for others, and for larger numbers. */
export async function readI32(file: TensorFile, name: string): Promise<Int32Array> {
  const { dtype, shape } = tensorInfo(file, name);
  if (dtype !== 'I32' && dtype !== 'I64') {
    throw new CheckpointError(
      `${file.name}: tensor '${name}' has dtype ${dtype}, expected I32 or I64`,
    );
  }
  const size = sizeOf(shape);
  const bytes = (await file.read(name, 0, size * (dtype === 'I32' ? 4 : 8))).slice();
  if (dtype === 'I32') return new Int32Array(bytes.buffer, 0, size);
  const wide = new BigInt64Array(bytes.buffer, 0, size);
  return Int32Array.from(wide, (value) => {
    if (BigInt.asIntN(32, value) === value) return Number(value);
    throw new CheckpointError(
      `${file.name}: tensor '${name}' contains ${value}, which exceeds 32 bits`,
    );
  });
}
