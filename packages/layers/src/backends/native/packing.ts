// Packing weights into a backend's memory while they are read, and unpacking them.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { PackedWeight, PackedWeightAttrs } from '../../weights/packed_weight.js';
import {
  type QuantizedMatrix,
  type QuantizedRows,
  type StoredMatrix,
  storedBytes,
} from '../../weights/packing.js';
import type { Address } from './address.js';
import type { NativeBackend } from './backend.js';
import type { NativeOps } from './ops.js';

/** Bytes of a matrix that are staged at a time: few, so that the processor's cache has them. */
const PIECE_BYTES = 1 << 19;
/** More are staged for this many rows, from which weights of columns are estimated, up to MAXIMUM_BYTES. */
const PIECE_ROWS = 256;
const MAXIMUM_BYTES = 8 << 20;

/** A weight without its memory. */
export type WeightShape = Pick<PackedWeightAttrs, 'format' | 'layout' | 'groupSize'> &
  Pick<PackedWeight, 'shape'>;

/** Allocates a weight of `bytes` bytes, which `fill` writes. Frees it if that throws. */
export async function packedWeight(
  backend: NativeBackend<NativeOps>,
  { format, layout, shape, groupSize }: WeightShape,
  bytes: number,
  fill: (address: Address) => Promise<void>,
): Promise<PackedWeight> {
  const { blocks } = backend.ops;
  const words = Math.ceil(bytes / 4);
  const address = blocks.allocate(words * 4);
  try {
    await fill(address);
  } catch (error) {
    blocks.release(address);
    throw error;
  }
  const info = backend.adopt(address, [words], 'int32');
  // tfjs types TensorInfo and Tensor separately; the engine makes one from the other.
  const tensor = tf.keep(tf.engine().makeTensorFromTensorInfo(info, backend));
  return { format, layout, shape, tensor, ...(groupSize > 0 && { groupSize }) };
}

/** Ranges of rows; the first is the longest. Each but the last is a multiple of `multiple` rows. */
export function pieces(
  rows: number,
  rowBytes: number,
  multiple = 1,
): (readonly [first: number, count: number])[] {
  const wanted = Math.min(Math.max(PIECE_ROWS, PIECE_BYTES / rowBytes), MAXIMUM_BYTES / rowBytes);
  const most = Math.max(1, Math.floor(wanted / multiple)) * multiple;
  return Array.from({ length: Math.ceil(rows / most) }, (_, i) => {
    return [i * most, Math.min(most, rows - i * most)];
  });
}

/** Reads a matrix in pieces into the backend's memory, from which `pack` packs them. */
export async function packPieces(
  { ops }: Pick<NativeBackend<NativeOps>, 'ops'>,
  matrix: StoredMatrix,
  multiple: number,
  pack: (staged: Address, first: number, count: number) => void,
): Promise<void> {
  const [rows, columns] = matrix.shape;
  const rowBytes = columns * storedBytes[matrix.dtype];
  const ranges = pieces(rows, rowBytes, multiple);
  const [[, most] = [0, 0]] = ranges;
  const staged = ops.blocks.allocate(most * rowBytes);
  try {
    for (const [first, count] of ranges) {
      const view = ops.view?.(staged, count * rowBytes);
      const bytes = await matrix.readRows(first, count, view);
      if (bytes !== view) ops.upload(staged, bytes);
      pack(staged, first, count);
    }
  } finally {
    ops.blocks.release(staged);
  }
}

/** The weight as row-major f32. `unpack` writes rows of the weight at `from` to `staged`. */
export async function unpackPieces(
  backend: Pick<NativeBackend<NativeOps>, 'ops' | 'address'>,
  { shape, tensor }: PackedWeight,
  unpack: (from: Address, staged: Address, first: number, count: number) => void,
): Promise<Float32Array> {
  const [rows, columns] = shape;
  const { ops } = backend;
  const values = new Float32Array(rows * columns);
  const ranges = pieces(rows, columns * 4);
  const [[, most] = [0, 0]] = ranges;
  const staged = ops.blocks.allocate(most * columns * 4);
  try {
    for (const [first, count] of ranges) {
      unpack(backend.address(tensor), staged, first, count);
      const part = values.subarray(first * columns, (first + count) * columns);
      await ops.download(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), staged);
    }
  } finally {
    ops.blocks.release(staged);
  }
  return values;
}

/**
 * Uploads a file's quantised matrix whose values are in the backend's layout. Scales and offsets follow
 * the values, a word a group.
 */
export async function uploadQuantized(
  ops: Pick<NativeOps, 'upload'>,
  matrix: QuantizedMatrix,
  address: Address,
  { pitch, paramsAt, groups }: { pitch: number; paramsAt: number; groups: number },
): Promise<void> {
  for (const [first, count] of pieces(matrix.shape[0], pitch, 8)) {
    const part = await matrix.readRows(first, count);
    ops.upload(address + first * pitch, part.values);
    ops.upload(address + paramsAt + first * groups * 4, parameterWords(part));
  }
}

/** @throws BackendError for columns that are not whole groups */
export function checkWholeGroups(columns: number, groupSize: number): void {
  if (columns % groupSize === 0) return;
  throw new BackendError(
    `columns: expected a multiple of the group size ${groupSize}, found ${columns}`,
  );
}

/** @throws BackendError for groups that do not fill 16 bytes of quantised values */
export function checkGroup(groupSize: number): void {
  if (groupSize > 0 && groupSize % 32 === 0) return;
  throw new BackendError(`groupSize: expected a multiple of 32, found ${groupSize}`);
}

/** A word a group: its scale and its offset. */
export function parameterWords({ scales, offsets }: QuantizedRows): Uint8Array {
  const words = new Uint8Array(2 * scales.length);
  for (let i = 0; i < scales.length; i += 2) {
    words[2 * i] = scales[i] ?? 0;
    words[2 * i + 1] = scales[i + 1] ?? 0;
    words[2 * i + 2] = offsets[i] ?? 0;
    words[2 * i + 3] = offsets[i + 1] ?? 0;
  }
  return words;
}
