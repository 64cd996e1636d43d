// What the shared half asks of a native backend: its memory, what its kernels fuse, and one method an op.
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

/** Memory of the backend. Everything happens in the order of the calls. */
export interface NativeMemory {
  /** Blocks that live until they are released. */
  readonly blocks: BlockAllocator;
  /** Blocks that live as long as one call; a backend that records launches may place them itself. */
  readonly temporaries: BlockAllocator;
  /** Copies bytes from the host. The caller may change them afterwards. */
  upload(to: Address, bytes: Uint8Array): void;
  /** Copies bytes to the host, after all calls before it. */
  download(into: Uint8Array, from: Address): Promise<void>;
  copy(to: Address, from: Address, bytes: number): void;
}

/** What the kernels of a backend do in one pass, and in which dtypes. Mixers ask this, never a backend's name. */
export interface NativeTraits {
  /** The name that tfjs and error messages know the backend by. */
  readonly backendName: string;
  /** `PackedWeight.layout`s that its kernels read, besides plain rows. */
  readonly weightLayouts: readonly string[];
  /** Whether linear() normalises its input in the same pass. */
  readonly fusesNorm: boolean;
  /** Whether scan() multiplies its output by silu(gate) in the same pass. */
  readonly fusesGate: boolean;
  /** Whether linear() by this weight does the convolution of one token a row in the same pass. */
  fusesConv(rows: number, weight: PackedWeightAttrs): boolean;
  /** Tokens (of all sequences) whose inner activations a mixer holds at a time. */
  readonly mixerTokens: { readonly mamba2: number; readonly mlp: number };
  /** dtype that the kernels inside a mixer with these weights pass on, for sequences of `length` tokens. */
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
  /** Slots of a new cache; it doubles up to the window. */
  readonly firstSlots: number;
  /** dtype beside weights of a format. */
  format(weights: WeightFormat, headDim: number): KvCacheFormat;
  /** Converts tokens, where that dtype is not the one of the states' tensors. */
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

/** Memory, traits and forward kernels of a backend. A kernel file of the backend stands behind each method. */
export interface NativeOps extends NativeMemory, NativeTraits {
  linear(call: LinearCall): void;
  norm(call: NormCall): void;
  activate(call: ActivationCall): void;
  convolve(call: ConvCall): void;
  scan(call: ScanCall): void;
  attend(call: AttentionCall): void;
  lookUp(call: LookupCall): void;
  crossEntropy(call: CrossEntropyCall): void;
}

/** The same with gradient kernels. A backend without them gets the composed gradients. */
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
