// SlidingWindowAttention: attends to the ring and the call's own keys, then writes these to the ring.
import type * as tf from '@tensorflow/tfjs-core';
import type { SlidingWindowAttentionAttrs } from '../../kernel_names.js';
import type { SimdBackend } from './backend.js';
import { canOverwrite, isGiven, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import { withTemporaries } from './temporaries.js';

/** Queries of a unit. */
const BLOCK = 16;
const UNLIMITED = 0x7fffffff;

export const slidingWindowAttentionKernel = simdKernel(
  'SlidingWindowAttention',
  ({ q, k, v, ringK, ringV }, attrs, backend) => {
    const y = backend.allocate(q.shape);
    if (!isGiven(ringK) || !isGiven(ringV)) {
      attend(backend, { q, k, v }, attrs, y.address, 0);
      return [y.info];
    }
    return withTemporaries(backend.runtime, (temporaries) => {
      const positions = temporaries.allocate(attrs.positions.length * 4);
      backend.runtime.ints(positions, attrs.positions.length).set(attrs.positions);
      attend(backend, { q, k, v, ringK, ringV }, attrs, y.address, positions);
      const inPlace = canOverwrite(backend, ringK) && canOverwrite(backend, ringV);
      const newK = inPlace ? counted(backend, ringK) : copied(backend, ringK);
      const newV = inPlace ? counted(backend, ringV) : copied(backend, ringV);
      writeRing(backend, { k, v, ringK: newK, ringV: newV }, positions);
      return [y.info, newK, newV];
    });
  },
);

interface AttentionTensors {
  q: tf.TensorInfo;
  k: tf.TensorInfo;
  v: tf.TensorInfo;
  ringK?: tf.TensorInfo;
  ringV?: tf.TensorInfo;
}

function attend(
  backend: SimdBackend,
  { q, k, v, ringK, ringV }: AttentionTensors,
  { window, scale, positions }: SlidingWindowAttentionAttrs,
  y: number,
  positionsAt: number,
): void {
  const { runtime } = backend;
  const [batch = 0, length = 0, heads = 0, dim = 0] = q.shape;
  const [, , kvHeads = 0] = k.shape;
  const seen = ringK ? Math.max(...positions) : 0;
  // A row of scores: the keys that four neighbouring queries see.
  const scores = Math.ceil((Math.min(window, seen + length) + 4) / 4) * 4;
  const block = length >= 4 ? BLOCK : length;
  const headBlock = length >= 4 ? 1 : Math.ceil(kvHeads / (2 * runtime.threads));
  const blocks = Math.ceil(length / block);
  const headBlocks = Math.ceil(kvHeads / headBlock);
  const addresses = {
    q: backend.address(q),
    k: backend.address(k),
    v: backend.address(v),
    ringK: ringK ? backend.address(ringK) : 0,
    ringV: ringV ? backend.address(ringV) : 0,
  };
  const { args, numbers } = runtime;
  args[0] = addresses.q;
  args[1] = heads * dim;
  args[2] = addresses.k;
  args[3] = addresses.v;
  args[4] = kvHeads * dim;
  args[5] = y;
  args[6] = heads * dim;
  args[7] = addresses.ringK;
  args[8] = addresses.ringV;
  args[9] = ringK?.shape[1] ?? 0;
  args[10] = positionsAt;
  args[11] = length;
  args[12] = heads;
  args[13] = kvHeads;
  args[14] = dim;
  args[15] = Math.min(window, UNLIMITED);
  numbers[16] = scale;
  args[17] = block;
  args[18] = headBlock;
  args[19] = blocks;
  args[20] = headBlocks;
  args[21] = scores;
  const unitHeads = (headBlock * heads) / kvHeads;
  const units = batch * blocks * headBlocks;
  const cost = 2 * unitHeads * dim * block * scores;
  const scratch = (Math.max(4, unitHeads) * (scores + 1) + 4) * 4;
  runtime.run(KernelId.Attention, units, runtime.chunk(cost), scratch);
}

function writeRing(
  backend: SimdBackend,
  tensors: { k: tf.TensorInfo; v: tf.TensorInfo; ringK: tf.TensorInfo; ringV: tf.TensorInfo },
  positions: number,
): void {
  const { runtime } = backend;
  const [batch = 0, length = 0, kvHeads = 0, dim = 0] = tensors.k.shape;
  const size = kvHeads * dim;
  const k = backend.address(tensors.k);
  const v = backend.address(tensors.v);
  const { args } = runtime;
  args[0] = k;
  args[1] = v;
  args[2] = size;
  args[3] = backend.address(tensors.ringK);
  args[4] = backend.address(tensors.ringV);
  args[5] = tensors.ringK.shape[1] ?? 0;
  args[6] = size;
  args[7] = positions;
  args[8] = length;
  runtime.run(KernelId.WriteRing, batch * length, runtime.chunk(size));
}

function counted(backend: SimdBackend, { dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo {
  backend.incRef(dataId);
  return { dataId, shape, dtype };
}

function copied(backend: SimdBackend, tensor: tf.TensorInfo): tf.TensorInfo {
  const from = backend.address(tensor);
  const { info, address } = backend.allocate(tensor.shape);
  const bytes = tensor.shape.reduce((a, b) => a * b, 4);
  backend.runtime.bytes(address, bytes).set(backend.runtime.bytes(from, bytes));
  return info;
}
