// The states of a compiled step's rows: for each block its own memory, a row after the other.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import {
  type RingFormat,
  ringFormatBeside,
  ringFormatOf,
  ringShapeOf,
  ringTensorShape,
} from '../../kv_ring.js';
import type { LayerState } from '../../layers/layer.js';
import { Mamba2State } from '../../layers/mamba2_mixer.js';
import { AttentionState } from '../../layers/sliding_window_attention.js';
import type { SimdBackend } from './backend.js';
import type { AttentionPlan, StepPlan } from './step_plan.js';

/** Slots of a ring at first; it doubles as it fills, up to the window. */
const FIRST_CAPACITY = 64;

/** A state of all rows: its address, and bytes of a row. */
interface Buffer {
  address: number;
  rowBytes: number;
}

export interface Mamba2Buffers {
  conv: Buffer;
  ssm: Buffer;
  convShape: number[];
  ssmShape: number[];
}

export interface RingBuffers {
  k: Buffer;
  v: Buffer;
  /** Slots. */
  capacity: number;
  format: RingFormat;
  plan: AttentionPlan;
}

export class StepStates {
  /** By block. */
  readonly blocks: readonly (Mamba2Buffers | RingBuffers | null)[];

  constructor(
    private readonly backend: SimdBackend,
    plan: StepPlan,
    private readonly batch: number,
  ) {
    const allocated: number[] = [];
    const buffer = (rowBytes: number): Buffer => {
      const address = backend.runtime.allocate(batch * rowBytes);
      allocated.push(address);
      return { address, rowBytes };
    };
    try {
      this.blocks = plan.blocks.map((block) => {
        if (block.kind === 'mlp') return null;
        if (block.kind === 'attention') {
          const { attention } = block;
          const capacity = Math.min(attention.window, FIRST_CAPACITY);
          const format = ringFormatBeside(attention.inProj.attrs.format, attention.headDim);
          const rowBytes = capacity * slotBytes(attention, format);
          const rings = { k: buffer(rowBytes), v: buffer(rowBytes) };
          return { ...rings, capacity, format, plan: attention };
        }
        const { dSsm, dState, headDim } = block.attrs;
        const [channels = 0, width = 0] = block.inputs.convWeight.shape;
        const convShape = [1, width, channels];
        const ssmShape = [1, dSsm / headDim, headDim, dState];
        return {
          conv: buffer(bytesOf(convShape)),
          ssm: buffer(bytesOf(ssmShape)),
          convShape,
          ssmShape,
        };
      });
    } catch (error) {
      for (const address of allocated) backend.runtime.release(address);
      throw error;
    }
  }

  /** Whether a ring is too short for so many tokens. */
  needsMore(tokens: number): boolean {
    return this.rings().some(({ capacity, plan }) => capacity < Math.min(plan.window, tokens));
  }

  /** Longer rings. Those that grow have not wrapped, so that slots stay where they are. */
  grow(tokens: number, rows: number): void {
    const { runtime } = this.backend;
    for (const ring of this.rings()) {
      const { plan, capacity, format } = ring;
      if (capacity >= Math.min(plan.window, tokens)) continue;
      const slots = Math.min(plan.window, Math.max(2 * capacity, tokens));
      for (const buffer of [ring.k, ring.v]) {
        const rowBytes = slots * slotBytes(plan, format);
        const address = runtime.allocate(this.batch * rowBytes);
        for (let row = 0; row < rows; row++) {
          const from = buffer.address + row * buffer.rowBytes;
          this.copySlots(ring, address + row * rowBytes, slots, from, capacity);
        }
        runtime.release(buffer.address);
        buffer.address = address;
        buffer.rowBytes = rowBytes;
      }
      ring.capacity = slots;
    }
  }

  /** Row `row` becomes row `from` of these states. */
  write(row: number, states: readonly (LayerState | null)[], from: number): void {
    this.blocks.forEach((block, i) => {
      if (block === null) return;
      const state = states[i];
      if ('conv' in block && state instanceof Mamba2State) {
        this.copyIn(block.conv, row, state.conv, from);
        this.copyIn(block.ssm, row, state.ssm, from);
      } else if (
        'k' in block &&
        state instanceof AttentionState &&
        ringFormatOf(state.k) === block.format
      ) {
        this.ringIn(block, block.k, row, state.k, from);
        this.ringIn(block, block.v, row, state.v, from);
      } else {
        throw new BackendError(`states[${i}]: expected that of block ${i} of the compiled model`);
      }
    });
  }

  /** Row `from` becomes row `to`. */
  move(from: number, to: number): void {
    for (const { address, rowBytes } of this.buffers()) {
      this.copy(address + to * rowBytes, address + from * rowBytes, rowBytes);
    }
  }

  /** Copies of a row's states. */
  read(row: number, position: number): (LayerState | null)[] {
    return this.blocks.map((block) => {
      if (block === null) return null;
      if ('conv' in block) {
        return new Mamba2State(
          this.copyOut(block.conv, row, block.convShape),
          this.copyOut(block.ssm, row, block.ssmShape),
        );
      }
      const { plan, capacity, format } = block;
      const shape = ringTensorShape([1, capacity, plan.kvHeads, plan.headDim], format);
      const dtype = format === 'bf16' ? 'int32' : 'float32';
      return new AttentionState(
        this.copyOut(block.k, row, shape, dtype),
        this.copyOut(block.v, row, shape, dtype),
        [position],
      );
    });
  }

  dispose(): void {
    for (const { address } of this.buffers()) this.backend.runtime.release(address);
  }

  private rings(): RingBuffers[] {
    return this.blocks.flatMap((block) => (block && 'k' in block ? block : []));
  }

  private buffers(): Buffer[] {
    return this.blocks.flatMap((block) => {
      if (block === null) return [];
      return 'k' in block ? [block.k, block.v] : [block.conv, block.ssm];
    });
  }

  /** A row of a state's tensor. */
  private copyIn(to: Buffer, row: number, tensor: tf.Tensor, from: number): void {
    const source = this.backend.address(tensor) + from * to.rowBytes;
    this.copy(to.address + row * to.rowBytes, source, to.rowBytes);
  }

  /**
   * A row of a state's ring. It is as long as ours, or has not wrapped yet; one that grew for a text
   * without a window may be longer than what is used of it.
   */
  private ringIn(
    ring: RingBuffers,
    to: Buffer,
    row: number,
    tensor: tf.Tensor,
    from: number,
  ): void {
    const [, slots] = ringShapeOf(tensor);
    const source = this.backend.address(tensor) + from * slots * slotBytes(ring.plan, ring.format);
    this.copySlots(ring, to.address + row * to.rowBytes, ring.capacity, source, slots);
  }

  /** The first slots of a row's ring, as many as both have. */
  private copySlots(
    { plan, format }: RingBuffers,
    to: number,
    toSlots: number,
    from: number,
    fromSlots: number,
  ): void {
    const runs = format === 'bf16' ? plan.kvHeads : 1;
    const bytes = slotBytes(plan, format) / runs;
    for (let run = 0; run < runs; run++) {
      const [start, end] = [from + run * fromSlots * bytes, to + run * toSlots * bytes];
      this.copy(end, start, Math.min(toSlots, fromSlots) * bytes);
    }
  }

  private copyOut(
    from: Buffer,
    row: number,
    shape: readonly number[],
    dtype: 'float32' | 'int32' = 'float32',
  ): tf.Tensor {
    const { info, address } = this.backend.allocate(shape, dtype);
    this.copy(address, from.address + row * from.rowBytes, from.rowBytes);
    return tf.engine().makeTensorFromTensorInfo(info, this.backend);
  }

  private copy(to: number, from: number, bytes: number): void {
    const { runtime } = this.backend;
    runtime.bytes(to, bytes).set(runtime.bytes(from, bytes));
  }
}

function slotBytes({ kvHeads, headDim }: AttentionPlan, format: RingFormat): number {
  return kvHeads * headDim * (format === 'bf16' ? 2 : 4);
}

function bytesOf(shape: readonly number[]): number {
  return shape.reduce((size, axis) => size * axis, 4);
}
