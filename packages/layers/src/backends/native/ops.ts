// The interface of a native backend: memory, traits (what its kernels fuse), and one method per op.
import type { KvCacheFormat } from '../../kv_cache.js';
import type { PackedWeightAttrs, WeightFormat } from '../../weights/packed_weight.js';
import type { ActivationFormat, NumberFormat } from './activations.js';
import type { Address } from './address.js';
import type {
  ActivationCall,
  AttentionCall,
  ConvCall,
  CrossEntropyCall,
  LinearCall,
  LookupCall,
  NormCall,
  RotaryCall,
  ScanCall,
} from './calls.js';
import type {
  ActivationGradCall,
  AdamWCall,
  AttentionGradCall,
  ConvGradCall,
  CrossEntropyGradCall,
  LookupGradCall,
  NormGradCall,
  ScanGradCall,
} from './gradient_calls.js';
import type { BlockAllocator } from './memory.js';

/** Memory of the backend. Operations take effect in call order. */
interface NativeMemory {
  /** Blocks that live until they are freed. */
  readonly blocks: BlockAllocator;
  /** Blocks that live for one call. A backend that records launches may place them itself. */
  readonly temporaries: BlockAllocator;
  /** Copies bytes from the host. The caller may change them afterwards. */
  upload(to: Address, bytes: Uint8Array): void;
  /** The memory itself, where the host may write it. */
  view?(address: Address, bytes: number): Uint8Array;
  /** Copies bytes to the host, after all calls before it. */
  download(into: Uint8Array, from: Address): Promise<void>;
  copy(to: Address, from: Address, bytes: number): void;
}

/**
 * What the kernels of a backend fuse, and in which dtypes. Mixers ask for traits, never for a backend's
 * name.
 */
export interface NativeTraits {
  /** The backend's name in tfjs and in error messages. */
  readonly backendName: string;
  /** Values of `PackedWeight.layout` that its kernels read, besides plain rows. */
  readonly weightLayouts: readonly string[];
  /** Whether linear() normalises its input in the same kernel. */
  readonly fusesNorm: boolean;
  /** Whether scan() multiplies its output by silu(gate) in the same kernel. */
  readonly fusesGate: boolean;
  /** Whether linear() with this weight also convolves, for one token per row. */
  fusesConv(rows: number, weight: PackedWeightAttrs): boolean;
  /** Maximum number of tokens (of all sequences) whose activations a mixer keeps at a time. */
  readonly mixerTokens: { readonly mamba2: number; readonly mlp: number };
  /** dtype of the activations inside a mixer with these weights, for sequences of `length` tokens. */
  activationFormat(length: number, weights: readonly PackedWeightAttrs[]): ActivationFormat;
  /**
   * dtype in which the kernel before a matmul writes the matmul's input.
   *
   * @param before weights of the matmuls before it in the mixer
   */
  linearInputFormat(
    rows: number,
    weight: PackedWeightAttrs,
    before: readonly PackedWeightAttrs[],
  ): NumberFormat;
  /** How a compiled step stores its KV caches. */
  readonly stepCache: StepCacheTraits;
}

export interface StepCacheTraits {
  /** Slots of a new cache; they double up to the window. */
  readonly firstSlots: number;
  /** dtype beside weights of a format. */
  format(weights: WeightFormat, headDim: number): KvCacheFormat;
  /** Converts tokens if that dtype is not the one of the states' tensors. */
  convert?(call: ConvertCall): void;
}

/** Rows of contiguous numbers from one dtype to another. */
export interface ConvertCall {
  from: Address;
  fromFormat: KvCacheFormat;
  to: Address;
  toFormat: KvCacheFormat;
  rows: number;
  columns: number;
}

/** Memory, traits and forward kernels of a backend. Each method is a kernel file of the backend. */
export interface NativeOps extends NativeMemory, NativeTraits {
  linear(call: LinearCall): void;
  norm(call: NormCall): void;
  activate(call: ActivationCall): void;
  convolve(call: ConvCall): void;
  scan(call: ScanCall): void;
  rotate(call: RotaryCall): void;
  attend(call: AttentionCall): void;
  /**
   * Adds a call's keys and values to its cache, without attending. A backend without it does not compile
   * passes over several tokens.
   */
  writeCache?(call: AttentionCall): void;
  lookUp(call: LookupCall): void;
  crossEntropy(call: CrossEntropyCall): void;
}

/** Adds gradient kernels. A backend without them uses the composed gradients. */
export interface NativeGradientOps extends NativeOps {
  normGrad(call: NormGradCall): void;
  activateGrad(call: ActivationGradCall): void;
  convolveGrad(call: ConvGradCall): void;
  scanGrad(call: ScanGradCall): void;
  attendGrad(call: AttentionGradCall): void;
  lookUpGrad(call: LookupGradCall): void;
  crossEntropyGrad(call: CrossEntropyGradCall): void;
  adamW(call: AdamWCall): void;
}
