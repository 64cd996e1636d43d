// SlidingWindowAttention: attends to the ring and the call's own keys, then writes these to the ring.
import type * as tf from '@tensorflow/tfjs-core';
import type { SimdBackend } from './backend.js';
import { canOverwrite, isGiven, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';
import { withTemporaries } from './temporaries.js';

/** Queries of a unit. */
const BLOCK = 16;
const UNLIMITED = 0x7fffffff;

export const slidingWindowAttentionKernel = simdKernel(
  'SlidingWindowAttention',
  ({ q, k, v, ringK, ringV }, { window, scale, positions }, backend) => {
    const { runtime } = backend;
    const sizes = sizesOf(q, k);
    const { batch, heads, kvHeads, dim } = sizes;
    const y = backend.allocate(q.shape);
    const call = {
      ...{ q: backend.address(q), qStride: heads * dim, y: y.address },
      ...{ ...sizes, window, scale },
    };
    const own = { k: backend.address(k), v: backend.address(v), stride: kvHeads * dim };
    if (!isGiven(ringK) || !isGiven(ringV)) {
      attend(runtime, call, own, { k: 0, v: 0, capacity: 0 }, { at: 0, greatest: 0 });
      return [y.info];
    }
    return withTemporaries(runtime, (temporaries) => {
      const at = temporaries.allocate(batch * 4);
      runtime.ints(at, batch).set(positions);
      const capacity = ringK.shape[1] ?? 0;
      const read = { k: backend.address(ringK), v: backend.address(ringV), capacity };
      attend(runtime, call, own, read, { at, greatest: Math.max(...positions) });
      const inPlace = canOverwrite(backend, ringK) && canOverwrite(backend, ringV);
      const newK = inPlace ? counted(backend, ringK) : copied(backend, ringK);
      const newV = inPlace ? counted(backend, ringV) : copied(backend, ringV);
      const written = { k: backend.address(newK), v: backend.address(newV), capacity };
      writeRing(runtime, sizes, own, written, at);
      return [y.info, newK, newV];
    });
  },
);

interface Sizes {
  batch: number;
  length: number;
  heads: number;
  kvHeads: number;
  dim: number;
}

function sizesOf(q: tf.TensorInfo, k: tf.TensorInfo): Sizes {
  const [batch = 0, length = 0, heads = 0, dim = 0] = q.shape;
  const [, , kvHeads = 0] = k.shape;
  return { batch, length, heads, kvHeads, dim };
}

/** Addresses of keys and values. */
interface KeysAndValues {
  k: number;
  v: number;
}

type Own = KeysAndValues & { /** Numbers from a token to the next. */ stride: number };
type Ring = KeysAndValues & { /** Slots of a row. */ capacity: number };

/** Addresses: q and y, and numbers from a token of q to the next. */
type AttentionCall = Sizes & {
  q: number;
  qStride: number;
  y: number;
  window: number;
  scale: number;
};

/**
 * @param own the call's own keys and values
 * @param ring those before; addresses 0 for none
 * @param positions where the tokens that each row has seen are counted, and the most that may be
 */
export function attend(
  runtime: Runtime,
  call: AttentionCall,
  own: Own,
  ring: Ring,
  positions: { at: number; greatest: number },
): void {
  const { batch, length, heads, kvHeads, dim, window, scale } = call;
  // A row of scores: the keys that four neighbouring queries see.
  const scores = Math.ceil((Math.min(window, positions.greatest + length) + 4) / 4) * 4;
  const block = length >= 4 ? BLOCK : length;
  const headBlock = length >= 4 ? 1 : Math.ceil(kvHeads / (2 * runtime.threads));
  const blocks = Math.ceil(length / block);
  const headBlocks = Math.ceil(kvHeads / headBlock);
  const { args, numbers } = runtime;
  args[0] = call.q;
  args[1] = call.qStride;
  args[2] = own.k;
  args[3] = own.v;
  args[4] = own.stride;
  args[5] = call.y;
  args[6] = heads * dim;
  args[7] = ring.k;
  args[8] = ring.v;
  args[9] = ring.capacity;
  args[10] = positions.at;
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

/** Writes the call's keys and values to a ring. */
export function writeRing(
  runtime: Runtime,
  { batch, length, kvHeads, dim }: Sizes,
  own: Own,
  ring: Ring,
  positions: number,
): void {
  const size = kvHeads * dim;
  const { args } = runtime;
  args[0] = own.k;
  args[1] = own.v;
  args[2] = own.stride;
  args[3] = ring.k;
  args[4] = ring.v;
  args[5] = ring.capacity;
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
