// SlidingWindowAttention: attends to the ring and the call's own keys, and writes these to the ring.
//
// Beside a ring of bf16 numbers (see ../../kv_ring.ts) the call's own keys and values are rounded too, and
// without a ring where it would be one of bf16: a text gives the same bits in whatever parts it is read,
// from a state or without.
import type * as tf from '@tensorflow/tfjs-core';
import { type RingFormat, ringFormatOf, ringShapeOf, takesBf16Rings } from '../../kv_ring.js';
import type { SimdBackend } from './backend.js';
import { canOverwrite, isGiven, simdKernel } from './kernel.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';
import { type Temporaries, withTemporaries } from './temporaries.js';

/** Queries of a unit. */
const BLOCK = 16;
const UNLIMITED = 0x7fffffff;

export const slidingWindowAttentionKernel = simdKernel(
  'SlidingWindowAttention',
  ({ q, k, v, ringK, ringV }, { window, scale, positions, rounds = false }, backend) => {
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
      withTemporaries(runtime, (temporaries) => {
        const format = rounds && takesBf16Rings(dim) ? 'bf16' : 'f32';
        const read = format === 'bf16' ? rounded(runtime, temporaries, sizes, own) : own;
        attend(runtime, call, read, { ...NO_RING, format }, { at: 0, greatest: 0 });
      });
      return [y.info];
    }
    return withTemporaries(runtime, (temporaries) => {
      const at = temporaries.allocate(batch * 4);
      runtime.ints(at, batch).set(positions);
      const inPlace = canOverwrite(backend, ringK) && canOverwrite(backend, ringV);
      const newK = inPlace ? counted(backend, ringK) : copied(backend, ringK);
      const newV = inPlace ? counted(backend, ringV) : copied(backend, ringV);
      const ring = {
        ...{ k: backend.address(newK), v: backend.address(newV) },
        ...{ capacity: ringShapeOf(ringK)[1], format: ringFormatOf(ringK) },
      };
      const seen = { at, greatest: Math.max(...positions) };
      if (sizes.length === 1) {
        attendToken(runtime, call, own, ring, seen);
      } else {
        const read = ring.format === 'bf16' ? rounded(runtime, temporaries, sizes, own) : own;
        attend(runtime, call, read, ring, seen);
        writeRing(runtime, sizes, own, ring, at);
      }
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
type Ring = KeysAndValues & { /** Slots of a row. */ capacity: number; format: RingFormat };

const NO_RING = { k: 0, v: 0, capacity: 0 };

/** Addresses: q and y, and numbers from a token of q to the next. */
type AttentionCall = Sizes & {
  q: number;
  qStride: number;
  y: number;
  window: number;
  scale: number;
};

/** Where the tokens that each row has seen are counted, and the most that may be. */
interface Positions {
  at: number;
  greatest: number;
}

/** Writes one token a row to its slot, that of a token which it does not see, and attends to the ring. */
export function attendToken(
  runtime: Runtime,
  call: AttentionCall,
  own: Own,
  ring: Ring,
  positions: Positions,
): void {
  writeRing(runtime, call, own, ring, positions.at);
  attend(runtime, call, own, ring, positions, true);
}

/**
 * @param own the call's own keys and values: f32 token by token, or in the ring's format if that is bf16
 * @param ring those before
 * @param written whether the ring holds the call's own already
 */
function attend(
  runtime: Runtime,
  call: AttentionCall,
  own: Own,
  ring: Ring,
  positions: Positions,
  written = false,
): void {
  const { batch, length, heads, kvHeads, dim, window, scale } = call;
  const isBf16 = ring.format === 'bf16';
  // A row of scores: the keys that four neighbouring queries see.
  const scores = Math.ceil((Math.min(window, positions.greatest + length) + 4) / 4) * 4;
  const block = length >= 4 ? BLOCK : length;
  // A bf16 head's keys are read straight through, those of f32 heads token by token.
  const headBlock = length >= 4 || isBf16 ? 1 : Math.ceil(kvHeads / (2 * runtime.threads));
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
  args[22] = written ? length : 0;
  args[23] = isBf16 ? 1 : 0;
  const unitHeads = (headBlock * heads) / kvHeads;
  const units = batch * blocks * headBlocks;
  const cost = 2 * unitHeads * dim * block * scores;
  const scratch = Math.max(4, unitHeads) * (scores + 1 + (isBf16 ? dim : 0)) * 4;
  runtime.run(KernelId.Attention, units, runtime.chunk(cost), scratch);
}

/** The call's own keys and values as a bf16 ring that holds nothing else. */
function rounded(runtime: Runtime, temporaries: Temporaries, sizes: Sizes, own: Own): Own {
  const { batch, length, kvHeads, dim } = sizes;
  const bytes = batch * length * kvHeads * dim * 2;
  const to = { k: temporaries.allocate(bytes), v: temporaries.allocate(bytes) };
  const zeros = temporaries.allocate(batch * 4);
  runtime.ints(zeros, batch).fill(0);
  writeRing(runtime, sizes, own, { ...to, capacity: length, format: 'bf16' }, zeros);
  return { ...to, stride: 0 };
}

/** Writes the call's keys and values to a ring. */
function writeRing(
  runtime: Runtime,
  { batch, length, kvHeads, dim }: Sizes,
  own: Own,
  ring: Ring,
  positions: number,
): void {
  const { args } = runtime;
  args[0] = own.k;
  args[1] = own.v;
  args[2] = own.stride;
  args[3] = ring.k;
  args[4] = ring.v;
  args[5] = ring.capacity;
  args[6] = kvHeads;
  args[7] = positions;
  args[8] = length;
  args[9] = dim;
  args[10] = ring.format === 'bf16' ? 1 : 0;
  runtime.run(KernelId.WriteRing, batch * length, runtime.chunk(kvHeads * dim));
}

function counted(backend: SimdBackend, { dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo {
  backend.incRef(dataId);
  return { dataId, shape, dtype };
}

function copied(backend: SimdBackend, tensor: tf.TensorInfo): tf.TensorInfo {
  const from = backend.address(tensor);
  const dtype = tensor.dtype === 'int32' ? 'int32' : 'float32';
  const { info, address } = backend.allocate(tensor.shape, dtype);
  const bytes = tensor.shape.reduce((a, b) => a * b, 4);
  backend.runtime.bytes(address, bytes).set(backend.runtime.bytes(from, bytes));
  return info;
}
