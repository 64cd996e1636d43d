// Strided tensors: transposed, sliced or expanded views of a storage.
import type { ByteSource } from './byte_source.js';
import { sizeOf } from './tensor_file.js';

/** Layout of a tensor: element [i, j] is value offset + i * strides[0] + j * strides[1] of the storage. */
export interface StridedLayout {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Whether the elements are contiguous in row-major order. */
export function isContiguous({ shape, strides }: StridedLayout): boolean {
  if (sizeOf(shape) === 0) return true;
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    if (size !== 1 && strides[axis] !== expected) return false;
    expected *= size;
  }
  return true;
}

/** One more than the index of the last element in the storage; the offset of an empty tensor. */
export function endOf({ offset, shape, strides }: StridedLayout): number {
  if (sizeOf(shape) === 0) return offset;
  return shape.reduce((end, size, axis) => end + (size - 1) * (strides[axis] ?? 0), offset + 1);
}

/**
 * All elements in row-major order. Reads their range of the storage at once.
 *
 * @param storageStart byte offset of the storage in the source
 * @param itemBytes bytes per element
 */
export async function gather(
  source: ByteSource,
  storageStart: number,
  itemBytes: number,
  layout: StridedLayout,
): Promise<Uint8Array> {
  const { offset, shape, strides } = layout;
  const bytes = await source.read(
    storageStart + offset * itemBytes,
    (endOf(layout) - offset) * itemBytes,
  );
  const result = new Uint8Array(sizeOf(shape) * itemBytes);
  let written = 0;
  const copyAxis = (axis: number, from: number): void => {
    const size = shape[axis] ?? 1;
    const stride = strides[axis] ?? 0;
    for (let i = 0; i < size; i++) {
      const at = from + i * stride;
      if (axis < shape.length - 1) copyAxis(axis + 1, at);
      else {
        const start = at * itemBytes;
        for (let byte = 0; byte < itemBytes; byte++) result[written++] = bytes[start + byte] ?? 0;
      }
    }
  };
  if (result.length > 0) copyAxis(0, 0);
  return result;
}
