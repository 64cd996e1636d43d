// SlidingWindowAttention; its KV cache is updated in place where that is allowed.
//
// Without a cache, `rounds` asks for the rounding that a bf16 cache would bring: the result of a
// sequence then does not depend on the parts in which it is fed.
import type * as tf from '@tensorflow/tfjs-core';
import { kvCacheFormatOf, kvCacheShapeOf } from '../../kv_cache.js';
import type { CacheCall } from './calls.js';
import {
  addressesOf,
  canOverwrite,
  isGiven,
  type NativeTensors,
  nativeKernel,
  sharedOutput,
} from './kernel.js';
import { withTemporaries } from './memory.js';
import { sizeOf } from './sizes.js';

export const slidingWindowAttentionKernel = nativeKernel(
  'SlidingWindowAttention',
  ({ q, k, v, cacheK, cacheV }, { window, scale, positions, rounds = false }, tensors) => {
    const [batch = 0, length = 0, heads = 0, headDim = 0] = q.shape;
    const [, , kvHeads = 0] = k.shape;
    const y = tensors.allocate(q.shape);
    const strides = { qStride: heads * headDim, kvStride: kvHeads * headDim };
    const output = { y: y.address, yStride: heads * headDim };
    const sizes = { batch, length, heads, kvHeads, headDim, window, scale, rounds };
    const call = Object.assign(addressesOf(tensors, { q, k, v }), strides, output, sizes);
    const caches = withCache(tensors, cacheK, cacheV, positions, (cache) =>
      tensors.ops.attend({ ...call, ...cache, maxKeys: maxKeys(window, length, positions) }),
    );
    return [y.info, ...caches];
  },
);

/** The most keys that a query of a call sees. */
export function maxKeys(window: number, length: number, positions: readonly number[]): number {
  return Math.min(window, Math.max(0, ...positions) + length);
}

/**
 * Runs a call that updates a KV cache, or one without a cache. The cache is updated in place where
 * that is allowed, else in a copy.
 *
 * @returns the cache's outputs: [k, v], or none
 */
export function withCache(
  tensors: NativeTensors,
  k: tf.TensorInfo | undefined,
  v: tf.TensorInfo | undefined,
  positions: readonly number[],
  run: (call: { cache?: CacheCall }) => void,
): tf.TensorInfo[] {
  if (!isGiven(k) || !isGiven(v)) {
    run({});
    return [];
  }
  const { ops } = tensors;
  return withTemporaries(ops.temporaries, (temporaries) => {
    const at = temporaries.allocate(positions.length * 4);
    ops.upload(at, new Uint8Array(Int32Array.from(positions).buffer));
    const inPlace = canOverwrite(tensors, k) && canOverwrite(tensors, v);
    const output = inPlace ? sharedOutput : copiedOutput;
    const [newK, newV] = [output(tensors, k), output(tensors, v)];
    const format = kvCacheFormatOf(k);
    const [, capacity] = kvCacheShapeOf(k);
    const cache = { k: tensors.address(newK), v: tensors.address(newV), format, capacity };
    run({ cache: { ...cache, positions: at } });
    return [newK, newV];
  });
}

function copiedOutput(tensors: NativeTensors, tensor: tf.TensorInfo): tf.TensorInfo {
  const from = tensors.address(tensor);
  const dtype = tensor.dtype === 'int32' ? 'int32' : 'float32';
  const { info, address } = tensors.allocate(tensor.shape, dtype);
  tensors.ops.copy(address, from, sizeOf(tensor.shape) * 4);
  return info;
}
