// The states of a compiled step's sequences: one block of memory per state, one row per sequence.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import {
  type KvCacheFormat,
  kvCacheFormatFor,
  kvCacheFormatOf,
  kvCacheShapeOf,
  kvCacheTensorShape,
} from '../../kv_cache.js';
import { AttentionState } from '../../layers/attention_state.js';
import type { LayerState } from '../../layers/layer.js';
import { Mamba2State } from '../../layers/mamba2_state.js';
import type { Address } from './address.js';
import type { AttentionWeights } from './attention_mixer.js';
import type { NativeTensors } from './kernel.js';
import { convChannels } from './mamba2_mixer.js';
import { sizeOf } from './sizes.js';
import type { StepBlock, StepPlan } from './step_plan.js';

/** A state of all sequences. */
interface StateBlock {
  address: Address;
  rowBytes: number;
}

export interface Mamba2Blocks {
  conv: StateBlock;
  ssm: StateBlock;
  /** Shapes of one sequence's tensors. */
  convShape: number[];
  ssmShape: number[];
}

export interface CacheBlocks {
  k: StateBlock;
  v: StateBlock;
  /** Slots. */
  capacity: number;
  format: KvCacheFormat;
  /** dtype of the states' tensors; they are converted if it differs. */
  tensorFormat: KvCacheFormat;
  weights: AttentionWeights;
}

export class StepStates {
  /** By block of the model; null for a block without state. */
  readonly blocks: readonly (Mamba2Blocks | CacheBlocks | null)[];
  private readonly addresses = new Set<Address>();
  /** The most tokens that every KV cache has room for. */
  private room: number;

  constructor(
    private readonly tensors: NativeTensors,
    plan: StepPlan,
    private readonly batch: number,
  ) {
    try {
      this.blocks = plan.blocks.map((block) => this.newBlocks(block));
      this.room = this.leastRoom();
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Whether a KV cache is too short for sequences of this length. */
  needsMore(tokens: number): boolean {
    return tokens > this.room;
  }

  /** Grows the KV caches. A cache that can grow has not wrapped, so slots keep their tokens. */
  grow(tokens: number, rows: number): void {
    for (const cache of this.caches()) {
      const { weights, capacity } = cache;
      let slots = capacity;
      while (slots < Math.min(weights.window, tokens)) slots = Math.min(weights.window, 2 * slots);
      if (slots === capacity) continue;
      for (const block of [cache.k, cache.v]) {
        const longer = this.newBlock(slots * slotBytes(cache));
        for (let row = 0; row < rows; row++) {
          this.copySlots(cache, rowOf(longer, row), slots, rowOf(block, row), capacity);
        }
        this.free(block.address);
        Object.assign(block, longer);
      }
      cache.capacity = slots;
    }
    this.room = this.leastRoom();
  }

  /** Copies row `from` of these states to row `row`. */
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
        kvCacheFormatOf(state.k) === block.tensorFormat
      ) {
        this.cacheIn(block, rowOf(block.k, row), state.k, from);
        this.cacheIn(block, rowOf(block.v, row), state.v, from);
      } else {
        throw new BackendError(`states[${i}]: expected the state of block ${i} of the model`);
      }
    });
  }

  /** Copies row `from` to row `to`. */
  move(from: number, to: number): void {
    for (const block of this.stateBlocks()) {
      this.tensors.ops.copy(rowOf(block, to), rowOf(block, from), block.rowBytes);
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
      return new AttentionState(this.cacheOut(block, k, row), this.cacheOut(block, v, row), [
        position,
      ]);
    });
  }

  dispose(): void {
    for (const address of this.addresses) this.tensors.ops.blocks.release(address);
    this.addresses.clear();
  }

  private newBlocks(block: StepBlock): Mamba2Blocks | CacheBlocks | null {
    switch (block.kind) {
      case 'mlp':
        return null;
      case 'attention': {
        const { weights } = block;
        const { headDim, window, inProj } = weights;
        const { stepCache } = this.tensors.ops;
        const capacity = Math.min(window, stepCache.firstSlots);
        const format = stepCache.format(inProj.attrs.format, headDim);
        const tensorFormat = kvCacheFormatFor(inProj.attrs.format, headDim);
        const rowBytes = capacity * slotBytes({ format, weights });
        const blocks = { k: this.newBlock(rowBytes), v: this.newBlock(rowBytes) };
        return { ...blocks, capacity, format, tensorFormat, weights };
      }
      case 'mamba2': {
        const { sizes, convWidth } = block.weights;
        const { dSsm, dState, headDim } = sizes;
        const convShape = [1, convWidth, convChannels(sizes)];
        const ssmShape = [1, dSsm / headDim, headDim, dState];
        const conv = this.newBlock(sizeOf(convShape) * 4);
        return { conv, ssm: this.newBlock(sizeOf(ssmShape) * 4), convShape, ssmShape };
      }
    }
  }

  private newBlock(rowBytes: number): StateBlock {
    const address = this.tensors.ops.blocks.allocate(this.batch * rowBytes);
    this.addresses.add(address);
    return { address, rowBytes };
  }

  private free(address: Address): void {
    this.addresses.delete(address);
    this.tensors.ops.blocks.release(address);
  }

  private caches(): CacheBlocks[] {
    return this.blocks.flatMap((block) => (block && 'k' in block ? block : []));
  }

  /** A cache as long as its window has room for any number. */
  private leastRoom(): number {
    const growing = this.caches().filter(({ capacity, weights }) => capacity < weights.window);
    return Math.min(...growing.map(({ capacity }) => capacity));
  }

  private stateBlocks(): StateBlock[] {
    return this.blocks.flatMap((block) => {
      if (block === null) return [];
      return 'k' in block ? [block.k, block.v] : [block.conv, block.ssm];
    });
  }

  private copyIn(to: StateBlock, row: number, tensor: tf.Tensor, from: number): void {
    const source = this.tensors.address(tensor) + from * to.rowBytes;
    this.tensors.ops.copy(rowOf(to, row), source, to.rowBytes);
  }

  private copyOut(from: StateBlock, row: number, shape: readonly number[]): tf.Tensor {
    const { info, address } = this.tensors.allocate(shape);
    this.tensors.ops.copy(address, rowOf(from, row), from.rowBytes);
    return this.asTensor(info);
  }

  /**
   * Copies a row of a state's cache to an address. It is as long as ours, or has not wrapped; without a
   * window it may be longer than the used part.
   */
  private cacheIn(cache: CacheBlocks, to: Address, tensor: tf.Tensor, from: number): void {
    const { weights, format, tensorFormat, capacity } = cache;
    const [, slots] = kvCacheShapeOf(tensor);
    const rowBytes = slots * slotBytes({ format: tensorFormat, weights });
    const source = this.tensors.address(tensor) + from * rowBytes;
    if (format === tensorFormat) this.copySlots(cache, to, capacity, source, slots);
    else this.convert(cache, source, tensorFormat, to, format, Math.min(slots, capacity));
  }

  private cacheOut(cache: CacheBlocks, block: StateBlock, row: number): tf.Tensor {
    const { weights, format, tensorFormat, capacity } = cache;
    const { kvHeads, headDim } = weights;
    const shape = kvCacheTensorShape([1, capacity, kvHeads, headDim], tensorFormat);
    const dtype = tensorFormat === 'bf16' ? 'int32' : 'float32';
    const { info, address } = this.tensors.allocate(shape, dtype);
    const from = rowOf(block, row);
    if (format === tensorFormat) this.tensors.ops.copy(address, from, block.rowBytes);
    else this.convert(cache, from, format, address, tensorFormat, capacity);
    return this.asTensor(info);
  }

  private convert(
    { weights }: CacheBlocks,
    from: Address,
    fromFormat: KvCacheFormat,
    to: Address,
    toFormat: KvCacheFormat,
    rows: number,
  ): void {
    const columns = weights.kvHeads * weights.headDim;
    const { convert } = this.tensors.ops.stepCache;
    if (!convert) throw new BackendError(`a KV cache cannot be converted to ${toFormat} here`);
    convert({ from, fromFormat, to, toFormat, rows, columns });
  }

  /** The first slots of a sequence's cache that both have, in the layout of the states' tensors. */
  private copySlots(
    cache: CacheBlocks,
    to: Address,
    toSlots: number,
    from: Address,
    fromSlots: number,
  ): void {
    const { format, tensorFormat, weights } = cache;
    const isByHead = format === 'bf16' && tensorFormat === 'bf16';
    const runs = isByHead ? weights.kvHeads : 1;
    const bytes = slotBytes(cache) / runs;
    for (let run = 0; run < runs; run++) {
      const [source, target] = [from + run * fromSlots * bytes, to + run * toSlots * bytes];
      this.tensors.ops.copy(target, source, Math.min(toSlots, fromSlots) * bytes);
    }
  }

  private asTensor(info: tf.TensorInfo): tf.Tensor {
    return tf.engine().makeTensorFromTensorInfo(info, tf.backend());
  }
}

/** Address of a sequence's state. */
export function rowOf({ address, rowBytes }: StateBlock, row: number): Address {
  return address + row * rowBytes;
}

/** Bytes of a token's keys or values. */
function slotBytes({ format, weights }: Pick<CacheBlocks, 'format' | 'weights'>): number {
  return weights.kvHeads * weights.headDim * (format === 'bf16' ? 2 : 4);
}
