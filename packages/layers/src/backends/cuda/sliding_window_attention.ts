// SlidingWindowAttention: attends to the ring and the call's own keys, then writes these to the ring.
import type * as tf from '@tensorflow/tfjs-core';
import { type ActivationFormat, MANY_TOKENS, type NumberFormat } from './activations.js';
import { canOverwrite, cudaKernel, isGiven, type KernelTensors } from './kernel.js';
import { formatIds } from './layout.js';
import { type Runtime, UNLIMITED } from './runtime.js';
import { withTemporaries } from './temporaries.js';

/** Sizes of heads that the tensor cores' kernels take, and a tile's tokens; see attention_tiles.cu. */
const TILED_DIMS = [64, 128];
const TILE_TOKENS = 64;
/** A block's warps; see sliding_window_attention.cu. */
const WARPS = 4;

export interface AttentionCall {
  q: number;
  k: number;
  v: number;
  /** 0 without a ring; so are the positions, int32 on the device. */
  ringK: number;
  ringV: number;
  positions: number;
  y: number;
  /** The ring that the call's own keys and values go to: the same one, or a copy. */
  writeK: number;
  writeV: number;
  /** Numbers from one token to the next. */
  qStride: number;
  kvStride: number;
  yStride: number;
  /** Of q, k and v; f32 unless given. */
  format?: ActivationFormat;
  /** f32 unless given. */
  yFormat?: NumberFormat;
  batch: number;
  length: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  capacity: number;
  window: number;
  scale: number;
  /** The most keys that a query can see. */
  span: number;
  /** Whether the ring holds bf16 numbers; f32 unless given. */
  bf16Ring?: boolean;
  /** Whether factors may be rounded to bf16: many tokens then go to the tensor cores. */
  rounds?: boolean;
}

export function attend(runtime: Runtime, call: AttentionCall): void {
  const { batch, length, heads, headDim } = call;
  const tokens = batch * length;
  const columns =
    call.rounds && length >= MANY_TOKENS ? TILED_DIMS.find((n) => n >= headDim) : undefined;
  const wanted = Math.ceil((4 * runtime.device.multiprocessors) / (tokens * heads));
  const splits = columns ? 1 : Math.max(1, Math.min(wanted, Math.ceil(call.span / (WARPS * 32))));
  withTemporaries(runtime, (temporaries) => {
    const partial =
      splits > 1 ? temporaries.allocate(splits * tokens * heads * (headDim + 2) * 4) : 0;
    // One token goes to its slot while others attend: nobody reads that slot.
    const direct = length === 1;
    const pointers = (writeK: number, writeV: number) => [
      ...[call.q, call.k, call.v, call.ringK, call.ringV, call.positions, call.y, partial],
      ...[writeK, writeV],
    ];
    const integers = [
      ...[call.qStride, call.kvStride, call.yStride, length, heads, call.kvHeads, headDim],
      ...[Math.max(1, call.capacity), Math.min(call.window, UNLIMITED), splits],
      ...[call.bf16Ring ? 1 : 0, call.format === 'bf16' ? 1 : 0],
      formatIds[call.yFormat ?? 'f32'],
    ];
    if (columns !== undefined) {
      const grid = [Math.ceil(length / TILE_TOKENS), heads, batch] as const;
      const sharedBytes = 2 * TILE_TOKENS * (columns + 8) * 2;
      const launch = { grid, block: 128, sharedBytes };
      runtime.launch(`attend_tile_${columns}`, launch, pointers(0, 0), integers, [call.scale]);
      writeRing();
      return;
    }
    runtime.launch(
      call.format === 'bf16' ? 'attend_bf16' : 'attend',
      {
        grid: [length * splits, heads, batch],
        block: WARPS * 32,
        sharedBytes: (headDim + WARPS * (headDim + 2)) * 4,
      },
      direct ? pointers(call.writeK, call.writeV) : pointers(0, 0),
      integers,
      [call.scale],
    );
    if (splits > 1) {
      const grid = [tokens, heads] as const;
      runtime.launch('attend_combine', { grid, block: 128 }, pointers(0, 0), integers, [
        call.scale,
      ]);
    }
    writeRing();

    function writeRing(): void {
      if (call.writeK === 0 || direct) return;
      const grid = [length, batch] as const;
      const written = pointers(call.writeK, call.writeV);
      runtime.launch('write_ring', { grid, block: 256 }, written, integers, [call.scale]);
    }
  });
}

export const slidingWindowAttentionKernel = cudaKernel(
  'SlidingWindowAttention',
  ({ q, k, v, ringK, ringV }, { window, scale, positions, rounds = false }, backend) => {
    const [batch = 0, length = 0, heads = 0, headDim = 0] = q.shape;
    const [, , kvHeads = 0] = k.shape;
    const y = backend.allocate(q.shape);
    const call: AttentionCall = {
      q: backend.address(q),
      k: backend.address(k),
      v: backend.address(v),
      ringK: 0,
      ringV: 0,
      positions: 0,
      y: y.address,
      writeK: 0,
      writeV: 0,
      qStride: heads * headDim,
      kvStride: kvHeads * headDim,
      yStride: heads * headDim,
      ...{ batch, length, heads, kvHeads, headDim, window, scale, rounds },
      capacity: 0,
      span: Math.min(window, length),
    };
    if (!isGiven(ringK) || !isGiven(ringV)) {
      attend(backend.runtime, call);
      return [y.info];
    }
    return movedRing(backend, { ringK, ringV, positions, window, length }, (ring) => {
      attend(backend.runtime, { ...call, ...ring });
      return y.info;
    });
  },
);

/** A ring's addresses, as attend() takes them. */
type RingAddresses = Pick<
  AttentionCall,
  'ringK' | 'ringV' | 'writeK' | 'writeV' | 'positions' | 'capacity' | 'span'
>;

/** Outputs [y, ringK, ringV] of what attends to a ring and moves it on: in place where that is allowed. */
export function movedRing(
  backend: KernelTensors,
  ring: {
    ringK: tf.TensorInfo;
    ringV: tf.TensorInfo;
    positions: readonly number[];
    window: number;
    /** Tokens that the call brings. */
    length: number;
  },
  run: (addresses: RingAddresses) => tf.TensorInfo,
): tf.TensorInfo[] {
  const { ringK, ringV, positions, window, length } = ring;
  return withTemporaries(backend.runtime, (temporaries) => {
    const positionsAt = temporaries.allocate(positions.length * 4);
    const { device } = backend.runtime;
    device.upload(positionsAt, new Uint8Array(Int32Array.from(positions).buffer));
    const inPlace = canOverwrite(backend, ringK) && canOverwrite(backend, ringV);
    const newK = inPlace ? counted(backend, ringK) : copied(backend, ringK);
    const newV = inPlace ? counted(backend, ringV) : copied(backend, ringV);
    const y = run({
      ringK: backend.address(ringK),
      ringV: backend.address(ringV),
      positions: positionsAt,
      writeK: backend.address(newK),
      writeV: backend.address(newV),
      capacity: ringK.shape[1] ?? 0,
      span: Math.min(window, Math.max(...positions) + length),
    });
    return [y, newK, newV];
  });
}

function counted(backend: KernelTensors, { dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo {
  backend.incRef(dataId);
  return { dataId, shape, dtype };
}

function copied(backend: KernelTensors, tensor: tf.TensorInfo): tf.TensorInfo {
  const from = backend.address(tensor);
  const { info, address } = backend.allocate(tensor.shape);
  const bytes = tensor.shape.reduce((a, b) => a * b, 4);
  backend.runtime.device.copy(address, from, bytes);
  return info;
}
