// Packs weights while they are read: pieces go to the GPU as they are in the file, kernels lay them out.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { PackedWeight, WeightFormat } from '../../weights/packed_weight.js';
import type {
  QuantizedMatrix,
  QuantizedRows,
  StoredDType,
  StoredMatrix,
  WeightPacker,
} from '../../weights/packing.js';
import { asCuda, type CudaBackend } from './backend.js';
import {
  checkGroup,
  formatIds,
  isIntFormat,
  layoutOf,
  PACKED,
  PACKED_F16,
  type WeightLayout,
  type WeightShape,
} from './layout.js';
import type { Runtime } from './runtime.js';
import { withTemporaries } from './temporaries.js';

/** Bytes of a matrix that are read at a time. */
const PIECE_BYTES = 16 << 20;

const storedIds: Record<StoredDType, number> = {
  F32: formatIds.f32,
  BF16: formatIds.bf16,
  F16: formatIds.f16,
};

export const cudaPacker: WeightPacker = {
  formats: ['f32', 'bf16', 'f16', 'int8', 'int4'],
  roundedProducts: ['bf16', 'f16', 'int8', 'int4'],
  pack,
  unpack: async (weight) => unpack(asCuda(tf.backend()), weight),
  packQuantized,
};

async function pack(
  matrix: StoredMatrix,
  format: WeightFormat,
  groupSize: number,
): Promise<PackedWeight> {
  const isInt = isIntFormat(format);
  if (isInt) checkGroup(groupSize);
  const group = isInt ? groupSize : 0;
  const [rows, columns] = matrix.shape;
  const rowBytes = columns * (matrix.dtype === 'F32' ? 4 : 2);
  const weight = { format, layout: PACKED, shape: matrix.shape, groupSize: group };
  return filled(weight, async ({ runtime }, address) => {
    const piece = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
    for (let first = 0; first < rows; first += piece) {
      const count = Math.min(piece, rows - first);
      const bytes = await matrix.readRows(first, count);
      withTemporaries(runtime, (temporaries) => {
        const staged = temporaries.allocate(bytes.length);
        runtime.device.upload(staged, bytes);
        packRows(runtime, staged, matrix.dtype, address, weight, first, count);
      });
    }
  });
}

/** Packs `count` stored rows at `from` as rows `first` and following of the weight at `to`. */
export function packRows(
  runtime: Runtime,
  from: number,
  dtype: StoredDType,
  to: number,
  weight: WeightShape,
  first: number,
  count: number,
): void {
  const { pitch, group, groups, paramsAt } = layoutOf(weight);
  const [, columns = 0] = weight.shape;
  const isInt = isIntFormat(weight.format);
  runtime.launch(
    isInt ? 'pack_int' : 'pack_float',
    isInt ? { grid: [count, Math.ceil(groups / 128)], block: 128 } : { grid: [count], block: 256 },
    [from, to + first * pitch, to + paramsAt + first * groups * 4],
    [columns, pitch, storedIds[dtype], formatIds[weight.format], group, groups],
  );
}

/** A file's codes are ours; its scales and offsets come together in words. */
async function packQuantized(matrix: QuantizedMatrix): Promise<PackedWeight> {
  const { format, shape, groupSize, parameterDType } = matrix;
  const [rows, columns] = shape;
  checkGroup(groupSize);
  if (columns % groupSize !== 0) {
    throw new BackendError(`${columns} columns are not whole groups of ${groupSize}`);
  }
  const layout = parameterDType === 'F16' ? PACKED_F16 : PACKED;
  return filled({ format, layout, shape, groupSize }, async ({ runtime }, address, sizes) => {
    const piece = Math.max(8, Math.floor(PIECE_BYTES / sizes.pitch / 8) * 8);
    for (let first = 0; first < rows; first += piece) {
      const count = Math.min(piece, rows - first);
      const part = await matrix.readRows(first, count);
      runtime.device.upload(address + first * sizes.pitch, part.codes);
      const params = address + sizes.paramsAt + first * sizes.groups * 4;
      runtime.device.upload(params, parameterWords(part));
    }
  });
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

/** A weight whose memory `fill` writes; nothing is left behind if that fails. */
async function filled(
  weight: Pick<PackedWeight, 'format' | 'layout' | 'shape'> & { groupSize: number },
  fill: (backend: CudaBackend, address: number, layout: WeightLayout) => Promise<void>,
): Promise<PackedWeight> {
  const backend = asCuda(tf.backend());
  const layout = layoutOf(weight);
  const words = Math.ceil(layout.bytes / 4);
  const address = backend.runtime.pool.allocate(words * 4);
  try {
    await fill(backend, address, layout);
  } catch (error) {
    backend.runtime.pool.release(address);
    throw error;
  }
  const info = backend.adopt(address, [words], 'int32');
  // tfjs declares TensorInfo and Tensor apart; the engine makes the one of the other.
  const tensor = tf.engine().makeTensorFromTensorInfo(info, backend);
  const { format, shape, groupSize } = weight;
  const tensors = [tf.keep(tensor)];
  return { format, layout: weight.layout, shape, tensors, ...(groupSize > 0 && { groupSize }) };
}

function unpack(backend: CudaBackend, weight: PackedWeight): Float32Array {
  const { format, layout, shape, groupSize = 0 } = weight;
  const [rows, columns] = shape;
  const [tensor] = weight.tensors;
  if (!tensor) throw new BackendError('a packed weight has no tensor');
  const { runtime } = backend;
  const from = backend.address(tensor);
  const values = new Float32Array(rows * columns);
  const piece = Math.min(rows, Math.max(1, Math.floor(PIECE_BYTES / 4 / columns)));
  withTemporaries(runtime, (temporaries) => {
    const staged = temporaries.allocate(piece * columns * 4);
    for (let first = 0; first < rows; first += piece) {
      const count = Math.min(piece, rows - first);
      unpackRows(runtime, from, { format, layout, shape, groupSize }, staged, first, count);
      const part = values.subarray(first * columns, (first + count) * columns);
      runtime.device.download(
        new Uint8Array(part.buffer, part.byteOffset, part.byteLength),
        staged,
      );
    }
  });
  return values;
}

/** Writes rows `first` and following of the weight at `from`, as f32, to `to`. */
export function unpackRows(
  runtime: Runtime,
  from: number,
  weight: WeightShape,
  to: number,
  first: number,
  count: number,
): void {
  const { pitch, group, groups, paramsAt } = layoutOf(weight);
  const [rows = 0, columns = 0] = weight.shape;
  runtime.launch(
    'unpack_rows',
    { grid: [count], block: 256 },
    [from, from + paramsAt, 0, to],
    [
      ...[pitch, rows, columns, columns, formatIds[weight.format], group, groups],
      ...[weight.layout === PACKED_F16 ? 1 : 0, first, formatIds.f32],
    ],
  );
}
