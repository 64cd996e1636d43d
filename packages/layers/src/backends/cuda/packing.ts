// Packs weights while they are read: pieces go to the GPU as they are in the file, kernels lay them out.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { PackedWeight, WeightFormat } from '../../weights/packed_weight.js';
import type { QuantizedMatrix, StoredMatrix, WeightPacker } from '../../weights/packing.js';
import { withTemporaries } from '../native/memory.js';
import { asCuda, type CudaBackend } from './backend.js';
import {
  checkGroup,
  isIntFormat,
  layoutOf,
  PACKED,
  PACKED_F16,
  type WeightLayout,
} from './layout.js';
import { packRows, parameterWords, unpackRows } from './pack_rows.js';

/** Bytes of a matrix that are read at a time. */
const PIECE_BYTES = 16 << 20;

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
      withTemporaries(runtime.pool, (temporaries) => {
        const staged = temporaries.allocate(bytes.length);
        runtime.device.upload(staged, bytes);
        packRows(runtime, staged, matrix.dtype, address, weight, first, count);
      });
    }
  });
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
  withTemporaries(runtime.pool, (temporaries) => {
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
