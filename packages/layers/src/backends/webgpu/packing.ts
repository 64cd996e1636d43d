// Packs weights while they are read: pieces are written into a GPU buffer as the file has them, or laid out by
// a kernel. The host holds one piece at a time.
import * as tf from '@tensorflow/tfjs-core';
import {
  isIntFormat,
  type PackedWeight,
  packedWeightAttrs,
  type WeightFormat,
} from '../../weights/packed_weight.js';
import {
  type QuantizedMatrix,
  type StoredDType,
  type StoredMatrix,
  storedBytes,
  type WeightPacker,
} from '../../weights/packing.js';
import type { Address } from '../native/address.js';
import {
  checkGroup,
  checkWholeGroups,
  packPieces,
  pieces,
  unpackPieces,
  uploadQuantized,
  type WeightShape,
} from '../native/packing.js';
import { PackingWeights } from '../native/packing_weights.js';
import { lookUp } from './embedding_lookup.js';
import { GpuOutOfMemoryError } from './errors.js';
import { layoutOf, PACKED, PACKED_F16 } from './layout.js';
import { packRows } from './pack_rows.js';
import type { WebGpuRuntime } from './runtime.js';
import { tensorsOf, type WebGpuTensors } from './tensors.js';

export const webGpuPacker: WeightPacker = {
  formats: ['f32', 'bf16', 'f16', 'int8', 'int4'],
  pack,
  unpack,
  packQuantized,
};

/** Dtypes of files that are a format as they are. */
const same: Partial<Record<StoredDType, WeightFormat>> = { F32: 'f32', BF16: 'bf16', F16: 'f16' };

async function pack(
  stored: StoredMatrix,
  format: WeightFormat,
  groupSize: number,
): Promise<PackedWeight> {
  const isInt = isIntFormat(format);
  if (isInt) checkGroup(groupSize);
  const tensors = tensorsOf(tf.backend());
  const { shape, dtype } = stored;
  const matrix = { shape, dtype, readRows: paced(tensors, stored) };
  // Plain rows of f32 are what composed ops and gradients read.
  const layout = format === 'f32' ? 'rows' : PACKED;
  const weight = { format, layout, shape, groupSize: isInt ? groupSize : 0 };
  const { pitch, bytes } = layoutOf(weight);
  const [rows, columns] = shape;
  const isAsStored = same[dtype] === format && pitch === columns * storedBytes[dtype];
  const weights = new PackingWeights(tensors.ops, matrix, weight);
  const packing = filledWeight(tensors, weight, bytes, async (address) => {
    if (isAsStored) {
      for (const [first, count] of pieces(rows, pitch)) {
        tensors.ops.upload(address + first * pitch, await matrix.readRows(first, count));
      }
      return;
    }
    await packPieces(tensors, weights.matrix, 1, (staged, first, count) => {
      const { runtime } = tensors;
      packRows(runtime, staged, dtype, address, weight, first, count, weights.address);
    });
  });
  return packing.finally(() => weights.dispose());
}

/** A file's quantised values are in our layout; its scales and offsets are interleaved as words. */
async function packQuantized(matrix: QuantizedMatrix): Promise<PackedWeight> {
  const { format, shape, groupSize, parameterDType } = matrix;
  const [, columns] = shape;
  checkGroup(groupSize);
  checkWholeGroups(columns, groupSize);
  const tensors = tensorsOf(tf.backend());
  const layout = parameterDType === 'F16' ? PACKED_F16 : PACKED;
  const weight = { format, layout, shape, groupSize };
  const sizes = layoutOf(weight);
  const readRows = paced(tensors, matrix);
  const rows = { format, shape, groupSize, parameterDType, readRows };
  return filledWeight(tensors, weight, sizes.bytes, (address) =>
    uploadQuantized(tensors.ops, rows, address, sizes),
  );
}

/** Rows of a matrix, read no faster than the GPU takes them. */
function paced<Rows>(
  { runtime }: WebGpuTensors,
  matrix: { readRows(first: number, count: number): Rows | Promise<Rows> },
): (first: number, count: number) => Promise<Rows> {
  return async (first, count) => {
    await runtime.settleUploads();
    return matrix.readRows(first, count);
  };
}

async function unpack(weight: PackedWeight): Promise<Float32Array> {
  const tensors = tensorsOf(tf.backend());
  const attrs = packedWeightAttrs(weight);
  return unpackPieces(tensors, weight, (table, staged, first, count) =>
    lookUp(tensors.runtime, { table, attrs, ids: 0, start: first, rows: count, y: staged }),
  );
}

/** A weight of `bytes` bytes, which `fill` writes. Nothing is left behind if that throws. */
async function filledWeight(
  tensors: WebGpuTensors,
  { format, layout, shape, groupSize }: WeightShape,
  bytes: number,
  fill: (address: Address) => Promise<void>,
): Promise<PackedWeight> {
  const address = await allocate(tensors, bytes);
  try {
    await fill(address);
    // Nothing that has been read is needed any more once this is done.
    tensors.runtime.submit();
    tensors.runtime.failures.throwFirst();
  } catch (error) {
    tensors.ops.blocks.release(address);
    throw error;
  }
  const isPlain = layout === 'rows';
  const info = tensors.adopt(
    address,
    isPlain ? shape : [Math.ceil(bytes / 4)],
    isPlain ? 'float32' : 'int32',
  );
  // tfjs declares TensorInfo and Tensor apart; the engine makes one from the other.
  const tensor = tf.keep(tf.engine().makeTensorFromTensorInfo(info, tensors.kernelBackend));
  return { format, layout, shape, tensor, ...(groupSize > 0 && { groupSize }) };
}

/** A device reports that it has no memory only later. @throws GpuOutOfMemoryError */
async function allocate({ runtime }: WebGpuTensors, bytes: number): Promise<Address> {
  const { pool } = runtime;
  const first = await tryAllocate(runtime, bytes);
  if (typeof first === 'number') return first;
  // Frees the blocks that are kept for reuse, and tries again.
  pool.trim();
  const second = await tryAllocate(runtime, bytes);
  if (typeof second === 'number') return second;
  throw new GpuOutOfMemoryError(bytes, second.message || 'the device refused it');
}

async function tryAllocate(
  { device, pool, failures }: WebGpuRuntime,
  bytes: number,
): Promise<Address | GPUError> {
  failures.throwIfLost();
  device.pushErrorScope('out-of-memory');
  let address: Address;
  try {
    address = pool.allocateExact(bytes);
  } catch (error) {
    await device.popErrorScope();
    throw error;
  }
  // Only the scope of a device that is lost cannot be popped.
  const error = await device.popErrorScope().catch((cause) => failures.throwReason(cause));
  if (!error) return address;
  pool.destroy(address);
  return error;
}
