// Arguments of the forward kernels of a native backend: addresses and sizes instead of tensors.
//
// Strides count numbers from one row or token to the next. An optional address may be 0 or absent.
// Numbers are f32 where no format is given.
import type { Activation } from '../../kernels.js';
import type { KvCacheFormat } from '../../kv_cache.js';
import type { PackedWeightAttrs } from '../../weights/packed_weight.js';
import type { ActivationFormat, NumberFormat } from './activations.js';
import type { Address } from './address.js';

/** A packed weight and its bias. */
export interface Projection {
  weight: Address;
  attrs: PackedWeightAttrs;
  bias?: Address;
}

/** y = activation(x weight^T + bias) + residual; x (rows, inFeatures), y (rows, outFeatures). */
export interface LinearCall extends Projection {
  x: Address;
  xStride: number;
  xFormat?: NumberFormat;
  rows: number;
  y: Address;
  yStride: number;
  /** Not with a residual. */
  yFormat?: NumberFormat;
  /** Features from `first` on are written to another address, as f32. */
  f32Tail?: { first: number; y: Address; yStride: number } | undefined;
  residual?: Address;
  activation?: Activation;
  /** Applied to x first. Only where `fusesNorm`. */
  norm?: InputNorm | undefined;
  /** Applied to some features of the product. Only where `fusesConv`. */
  conv?: TokenConv | undefined;
}

/** RMS norm of a matmul's input by groups of columns, gated by silu(z) before or after it. */
export interface InputNorm {
  /** 0 for the gate alone. */
  weight: Address;
  groupSize: number;
  eps: number;
  /** The gate, in the input's dtype. */
  z?: Address;
  zStride?: number;
  normBeforeGate?: boolean;
}

/** Causal convolution and SiLU of one token, over `channels` features from `first` on. */
interface TokenConv {
  first: number;
  channels: number;
  width: number;
  weight: Address;
  bias: Address;
  /** The window before and after the token. They may be the same. */
  before: Address;
  after: Address;
}

/** RMS norm by groups of columns, gated or not. */
export interface NormCall extends InputNorm {
  x: Address;
  xStride: number;
  /** Of x and z. */
  xFormat?: NumberFormat;
  /** May be x. */
  y: Address;
  yStride: number;
  yFormat?: NumberFormat;
  rows: number;
  columns: number;
}

/** y = activation(x) * multiplier. */
export interface ActivationCall {
  x: Address;
  xStride: number;
  /** Of x and the multiplier. */
  xFormat?: ActivationFormat;
  multiplier: Address;
  multiplierStride: number;
  y: Address;
  yStride: number;
  yFormat?: NumberFormat;
  rows: number;
  columns: number;
  activation: Activation;
}

/** Depthwise causal convolution of (batch, length, channels). */
export interface ConvCall {
  x: Address;
  xStride: number;
  /** Of x and y. */
  format?: ActivationFormat;
  /** (channels, width) */
  weight: Address;
  bias: Address;
  /** The window (batch, width, channels) before and after the call. They may be the same; `before` 0 is zeros. */
  before: Address;
  after: Address;
  /** 0: only the window is advanced. For backends with writeCache(). */
  y: Address;
  yStride: number;
  batch: number;
  length: number;
  channels: number;
  width: number;
  activation: Activation;
}

/** The state-space scan of (batch, length, heads, headDim). */
export interface ScanCall {
  x: Address;
  xStride: number;
  B: Address;
  bStride: number;
  C: Address;
  cStride: number;
  /** Of x, B, C and y. */
  format?: ActivationFormat;
  dt: Address;
  dtStride: number;
  A: Address;
  D: Address;
  /** Whether D is (heads, headDim) and not (heads). */
  dPerChannel: boolean;
  dtBias: Address;
  /** 0: only the state is advanced. For backends with writeCache(). */
  y: Address;
  yStride: number;
  /** The state (batch, heads, headDim, dState) before and after the call. They may be the same; `before` 0 is zeros. */
  before: Address;
  after: Address;
  batch: number;
  length: number;
  heads: number;
  headDim: number;
  dState: number;
  groups: number;
  dtSoftplus: boolean;
  dtMin: number;
  dtMax: number;
  /** y is multiplied by silu of this. Only where `fusesGate`. */
  gate?: Address;
  gateStride?: number;
  /** Whether a kernel may round factors to bf16. Default: false. */
  rounds?: boolean;
}

/** Causal attention of (batch, length, heads, headDim) to a window of tokens. */
export interface AttentionCall {
  q: Address;
  qStride: number;
  k: Address;
  v: Address;
  kvStride: number;
  /** Of q, k and v. */
  format?: ActivationFormat;
  y: Address;
  yStride: number;
  yFormat?: NumberFormat;
  batch: number;
  length: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Number of keys that a query attends to, itself included; may be Infinity. */
  window: number;
  scale: number;
  /** Maximum number of keys over all queries of the call. */
  maxKeys: number;
  /** Tokens before the call. The call's own keys and values are added to it. */
  cache?: CacheCall;
  /** Whether a kernel may round factors to bf16. Default: false. */
  rounds?: boolean;
}

/** Turns queries and keys (batch, length, heads, headDim) by their positions, in place. */
export interface RotaryCall {
  x: Address;
  xStride: number;
  format?: ActivationFormat;
  /** (half): radians a token. */
  frequencies: Address;
  /** int32 (batch): tokens before the call; 0 for none. */
  positions: Address;
  batch: number;
  length: number;
  /** Of queries and keys together. */
  heads: number;
  headDim: number;
  /** Half of the numbers of a head that are turned, its first ones. */
  half: number;
}

/** The KV cache of a call: a ring buffer with position t at slot t mod capacity. */
export interface CacheCall {
  k: Address;
  v: Address;
  format: KvCacheFormat;
  /** Slots per sequence. */
  capacity: number;
  /** int32 (batch): tokens that each sequence has seen. */
  positions: Address;
  /** Whether the call does not add its keys and values. Default: false. */
  isReadOnly?: boolean;
}

/** Rows of a packed table as f32. An id out of range gives NaN. */
export interface LookupCall {
  table: Address;
  attrs: PackedWeightAttrs;
  /** int32 (rows) */
  ids: Address;
  rows: number;
  /** (rows, columns of the table) */
  y: Address;
}

/** loss = logsumexp(logits) - logits[target] per row; 0 where target < 0. */
export interface CrossEntropyCall {
  /** (rows, columns) */
  logits: Address;
  /** int32 (rows) */
  targets: Address;
  /** (rows) */
  loss: Address;
  rows: number;
  columns: number;
}
