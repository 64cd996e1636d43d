// The states of a compiled step's rows: for each block its own memory, a row after the other.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { LayerState } from '../../layers/layer.js';
import { Mamba2State } from '../../layers/mamba2_mixer.js';
import { AttentionState } from '../../layers/sliding_window_attention.js';
import type { AttentionAddresses } from './attention_mixer.js';
import type { CudaBackend } from './backend.js';
import { formatIds } from './layout.js';
import type { StepPlan } from './step_plan.js';

/** Slots of a first ring of attention without a window; it doubles as it fills. */
const FIRST_CAPACITY = 1024;

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
  /** Numbers of a token. */
  width: number;
  bf16Ring: boolean;
  weights: AttentionAddresses;
}

export class StepStates {
  /** By block. */
  readonly blocks: readonly (Mamba2Buffers | RingBuffers | null)[];
  /** Slots of the rings, where they are not the window's. */
  private capacity = FIRST_CAPACITY;

  constructor(
    private readonly backend: CudaBackend,
    plan: StepPlan,
    private readonly batch: number,
  ) {
    const allocated: number[] = [];
    const buffer = (rowBytes: number): Buffer => {
      const address = backend.runtime.pool.allocate(batch * rowBytes);
      allocated.push(address);
      return { address, rowBytes };
    };
    try {
      this.blocks = plan.blocks.map((block) => {
        if (block.kind === 'mlp') return null;
        if (block.kind === 'attention') {
          const { bf16Ring, weights } = block;
          const { kvHeads, headDim } = weights;
          const width = kvHeads * headDim;
          const rowBytes = this.slots(weights) * width * (bf16Ring ? 2 : 4);
          const ring = { k: buffer(rowBytes), v: buffer(rowBytes) };
          return { ...ring, width, bf16Ring, weights };
        }
        const { attrs, width } = block.weights;
        const { dSsm, dState, headDim, nGroups } = attrs;
        const convShape = [1, width, dSsm + 2 * nGroups * dState];
        const ssmShape = [1, dSsm / headDim, headDim, dState];
        return {
          conv: buffer(bytesOf(convShape)),
          ssm: buffer(bytesOf(ssmShape)),
          convShape,
          ssmShape,
        };
      });
    } catch (error) {
      for (const address of allocated) backend.runtime.pool.release(address);
      throw error;
    }
  }

  /** Slots of an attention's ring. */
  slots({ window }: AttentionAddresses): number {
    return Math.min(window, this.capacity);
  }

  /** Whether a ring is too short for so many tokens. */
  needsMore(tokens: number): boolean {
    return this.rings().some(
      ({ weights }) => this.slots(weights) < Math.min(weights.window, tokens),
    );
  }

  /** Longer rings. Those that grow have not wrapped, so that slots stay where they are. */
  grow(tokens: number, rows: number): void {
    const { device, pool } = this.backend.runtime;
    const before = this.rings().map(({ weights }) => this.slots(weights));
    while (this.capacity < tokens) this.capacity *= 2;
    this.rings().forEach((ring, i) => {
      const slots = this.slots(ring.weights);
      if (slots === before[i]) return;
      for (const buffer of [ring.k, ring.v]) {
        const rowBytes = slots * ring.width * (ring.bf16Ring ? 2 : 4);
        const address = pool.allocate(this.batch * rowBytes);
        for (let row = 0; row < rows; row++) {
          const from = buffer.address + row * buffer.rowBytes;
          device.copy(address + row * rowBytes, from, buffer.rowBytes);
        }
        pool.release(buffer.address);
        buffer.address = address;
        buffer.rowBytes = rowBytes;
      }
    });
  }

  /** Row `row` becomes row `from` of these states. */
  write(row: number, states: readonly (LayerState | null)[], from: number): void {
    this.blocks.forEach((block, i) => {
      if (block === null) return;
      const state = states[i];
      if ('conv' in block && state instanceof Mamba2State) {
        this.copyIn(block.conv, row, state.conv, from);
        this.copyIn(block.ssm, row, state.ssm, from);
      } else if ('k' in block && state instanceof AttentionState) {
        this.ringIn(block, block.k, row, state.k, from);
        this.ringIn(block, block.v, row, state.v, from);
      } else {
        throw new BackendError(`states[${i}]: expected that of block ${i} of the compiled model`);
      }
    });
  }

  /** Row `from` becomes row `to`. */
  move(from: number, to: number): void {
    const { device } = this.backend.runtime;
    for (const { address, rowBytes } of this.buffers()) {
      device.copy(address + to * rowBytes, address + from * rowBytes, rowBytes);
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
      const { k, v } = block;
      return new AttentionState(this.ringOut(block, k, row), this.ringOut(block, v, row), [
        position,
      ]);
    });
  }

  dispose(): void {
    for (const { address } of this.buffers()) this.backend.runtime.pool.release(address);
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

  private copyIn(to: Buffer, row: number, tensor: tf.Tensor, from: number): void {
    const address = this.backend.address(tensor) + from * to.rowBytes;
    this.backend.runtime.device.copy(to.address + row * to.rowBytes, address, to.rowBytes);
  }

  private copyOut(from: Buffer, row: number, shape: number[]): tf.Tensor {
    const { info, address } = this.backend.allocate(shape);
    this.backend.runtime.device.copy(address, from.address + row * from.rowBytes, from.rowBytes);
    return tf.engine().makeTensorFromTensorInfo(info, this.backend);
  }

  /** A state's ring is as long as ours, or shorter and has not wrapped yet. */
  private ringIn(
    { width, bf16Ring, weights }: RingBuffers,
    to: Buffer,
    row: number,
    tensor: tf.Tensor,
    from: number,
  ): void {
    const { runtime } = this.backend;
    const slots = tensor.shape[1] ?? 0;
    const source = this.backend.address(tensor) + from * slots * width * 4;
    const target = to.address + row * to.rowBytes;
    // One that grew for a text without a window may be longer than what is used of it.
    const used = Math.min(slots, this.slots(weights));
    if (!bf16Ring) {
      runtime.device.copy(target, source, used * width * 4);
      return;
    }
    const launch = { grid: [used], block: 256 } as const;
    runtime.launch(
      'narrow_rows',
      launch,
      [source, target],
      [width, width, width, formatIds.f32, formatIds.bf16],
    );
  }

  private ringOut({ width, bf16Ring, weights }: RingBuffers, from: Buffer, row: number): tf.Tensor {
    const { runtime } = this.backend;
    const slots = this.slots(weights);
    const { kvHeads, headDim } = weights;
    const shape = [1, slots, kvHeads, headDim];
    if (!bf16Ring) return this.copyOut(from, row, shape);
    const { info, address } = this.backend.allocate(shape);
    const source = from.address + row * from.rowBytes;
    runtime.launch(
      'unpack_rows',
      { grid: [slots], block: 256 },
      [source, source, 0, address],
      [width * 2, slots, width, width, formatIds.bf16, 1, 0, 0, 0, formatIds.f32],
    );
    return tf.engine().makeTensorFromTensorInfo(info, this.backend);
  }
}

function bytesOf(shape: readonly number[]): number {
  return shape.reduce((size, axis) => size * axis, 4);
}
