// Layouts of a KV cache: f32, (B, capacity, Hkv, P), token by token; or bf16, int32 (B, Hkv, capacity, P /
// 2), head by head, two values per word, the first in the low half.
//
// A decoded token reads each head's keys and values once, so the bf16 layout is read sequentially.
import * as tf from '@tensorflow/tfjs-core';
import type { WeightFormat } from './weights/packed_weight.js';
import { widen } from './weights/packing.js';

/** The dtype of a cache. */
export type KvCacheFormat = 'f32' | 'bf16';

/** (B, capacity, Hkv, P), in either layout. */
export type KvCacheShape = readonly [
  batch: number,
  capacity: number,
  kvHeads: number,
  headDim: number,
];

const bf16Backends = new Set<string>();

/** Registers that a backend's attention supports bf16 caches. */
export function registerBf16KvCaches(backendName: string): void {
  bf16Backends.add(backendName);
}

/** Whether the current backend's attention supports bf16 caches for heads of this size. */
export function takesBf16KvCaches(headDim: number): boolean {
  return bf16Backends.has(tf.getBackend()) && headDim % 8 === 0;
}

/**
 * The dtype of a new cache: f32 with f32 weights, so that nothing is rounded; else bf16 if the backend
 * supports it.
 */
export function kvCacheFormatFor(weights: WeightFormat, headDim: number): KvCacheFormat {
  return weights !== 'f32' && takesBf16KvCaches(headDim) ? 'bf16' : 'f32';
}

/** The dtype of a cache's tensor. */
export function kvCacheFormatOf(cache: tf.TensorInfo): KvCacheFormat {
  return cache.dtype === 'int32' ? 'bf16' : 'f32';
}

/** The shape of a cache, from its tensor. */
export function kvCacheShapeOf(cache: tf.TensorInfo): KvCacheShape {
  const [batch = 0, second = 0, third = 0, last = 0] = cache.shape;
  return kvCacheFormatOf(cache) === 'bf16'
    ? [batch, third, second, 2 * last]
    : [batch, second, third, last];
}

/** The shape of the tensor of a cache. */
export function kvCacheTensorShape(
  [batch, capacity, kvHeads, headDim]: KvCacheShape,
  format: KvCacheFormat,
): [number, number, number, number] {
  return format === 'bf16'
    ? [batch, kvHeads, capacity, headDim / 2]
    : [batch, capacity, kvHeads, headDim];
}

/** A cache of zeros. */
export function emptyKvCache(shape: KvCacheShape, format: KvCacheFormat): tf.Tensor {
  return tf.zeros(kvCacheTensorShape(shape, format), format === 'bf16' ? 'int32' : 'float32');
}

/** A larger copy of a cache. A cache that has not wrapped keeps its tokens at their slots. */
export function grownKvCache(cache: tf.Tensor, capacity: number): tf.Tensor {
  const missing = capacity - kvCacheShapeOf(cache)[1];
  const axis = kvCacheFormatOf(cache) === 'bf16' ? 2 : 1;
  return tf.pad(
    cache,
    cache.shape.map((_, i): [number, number] => [0, i === axis ? missing : 0]),
  );
}

/** Makes a cache from little-endian values of its dtype in the order (B, capacity, Hkv, P). */
export function kvCacheFromBytes(
  bytes: Uint8Array,
  shape: KvCacheShape,
  format: KvCacheFormat,
): tf.Tensor {
  const whole = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, byteLength } = whole;
  const tensorShape = kvCacheTensorShape(shape, format);
  if (format === 'f32') {
    return tf.tensor(new Float32Array(buffer, byteOffset, byteLength / 4), tensorShape, 'float32');
  }
  const [, capacity, kvHeads, headDim] = shape;
  const words = new Int32Array(buffer, byteOffset, byteLength / 4);
  const byHead = swapped(words, capacity, kvHeads, headDim / 2);
  return tf.tensor(byHead, tensorShape, 'int32');
}

/** The values of a cache in its dtype, in the order (B, capacity, Hkv, P). Inverse of kvCacheFromBytes. */
export async function kvCacheBytes(cache: tf.Tensor): Promise<Uint8Array> {
  const data = await cache.data<'float32' | 'int32'>();
  const [, capacity, kvHeads, headDim] = kvCacheShapeOf(cache);
  const { buffer, byteOffset, byteLength } =
    data instanceof Float32Array ? data : swapped(data, kvHeads, capacity, headDim / 2);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The values of a cache as f32, in the order (B, capacity, Hkv, P); exact. */
export async function kvCacheValues(cache: tf.Tensor): Promise<Float32Array> {
  const values = new Float32Array(kvCacheShapeOf(cache).reduce((size, axis) => size * axis, 1));
  widen(await kvCacheBytes(cache), kvCacheFormatOf(cache) === 'bf16' ? 'BF16' : 'F32', values);
  return values;
}

/** (…, rows, columns, size) as (…, columns, rows, size). */
function swapped(from: Int32Array, rows: number, columns: number, size: number): Int32Array {
  const to = new Int32Array(from.length);
  const block = rows * columns * size;
  for (let start = 0; start < from.length; start += block) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const at = start + (row * columns + column) * size;
        to.set(from.subarray(at, at + size), start + (column * rows + row) * size);
      }
    }
  }
  return to;
}
