// Every custom kernel: its inputs, its attributes, and the inputs that its gradient saves. Types, gradients
// and TensorFlow's op definitions are derived from this table.
//
// Shapes: B batch, L length, D channels, H heads, P head dimension, G groups, N state size,
// W convolution width, C slots of a KV cache.
import type { Tensor } from '@tensorflow/tfjs-core';
import type { PackedWeightAttrs } from './weights/packed_weight.js';

/**
 * Activation functions of an MLP; gelu is the exact one, with erf, relu2 is max(x, 0)^2. Tests run over all of
 * them.
 */
export const activations = ['linear', 'silu', 'gelu', 'relu2'] as const;
/** The name of an activation function. */
export type Activation = (typeof activations)[number];

/** An input of a kernel. A weight is plain f32 rows, or int32 words in a backend's layout. */
export interface InputSpec {
  readonly type: 'float' | 'int32' | 'weight';
  readonly optional: boolean;
}

interface KernelSpec {
  readonly inputs: Readonly<Record<string, InputSpec>>;
  readonly attrs: AttrsSpec<object>;
  /** Inputs that the gradient needs; absent for a kernel without a gradient. */
  readonly saves?: readonly string[];
  /** Inputs that are replaced by the outputs after the first, in this order. */
  readonly states?: readonly string[];
  /** An integer attribute that differs between calls. */
  readonly varies?: string;
}

/** Carries the type of a kernel's attributes. */
interface AttrsSpec<Attrs> {
  readonly type?: Attrs;
}

const float = { type: 'float', optional: false } as const;
const optional = { type: 'float', optional: true } as const;
const int = { type: 'int32', optional: false } as const;
const weight = { type: 'weight', optional: false } as const;
const optionalWeight = { type: 'weight', optional: true } as const;

function attrs<Attrs>(): AttrsSpec<Attrs> {
  return {};
}

const norm = { x: float, weight: float };
const gatedNorm = { ...norm, z: optional };
const conv = { x: float, weight: float, bias: optional, state: optional };
const scan = {
  ...{ x: float, dt: float, A: float, B: float, C: float },
  ...{ D: optional, dtBias: optional, state: optional },
};
const gradientOfState = { dy: float, dstateOut: optional };

export const kernels = {
  /** y = x / rms(x) * weight over the last axis. Outputs [y]. */
  RmsNorm: { inputs: norm, attrs: attrs<RmsNormAttrs>(), saves: ['x', 'weight'] },
  /** Outputs [dx, dweight]. */
  RmsNormGrad: { inputs: { ...norm, dy: float }, attrs: attrs<RmsNormAttrs>() },

  /** RMS norm over groups of channels, gated by silu(z) before or after. Outputs [y]. */
  GatedRmsNorm: {
    inputs: gatedNorm,
    attrs: attrs<GatedRmsNormAttrs>(),
    saves: ['x', 'weight', 'z'],
  },
  /** Outputs [dx, dweight, dz?]. */
  GatedRmsNormGrad: { inputs: { ...gatedNorm, dy: float }, attrs: attrs<GatedRmsNormAttrs>() },

  /**
   * Depthwise causal cross-correlation, bias, activation. x (B, L, D), weight (D, W), bias (D),
   * state (B, W, D): the last W raw inputs, oldest first. Outputs [y] or [y, state].
   */
  CausalConv1d: {
    inputs: conv,
    attrs: attrs<CausalConv1dAttrs>(),
    saves: ['x', 'weight', 'bias', 'state'],
    states: ['state'],
  },
  /** dstateOut only if the state was returned. Outputs [dx, dweight, dbias?, dstate?]. */
  CausalConv1dGrad: { inputs: { ...conv, ...gradientOfState }, attrs: attrs<CausalConv1dAttrs>() },

  /**
   * The state-space-dual scan (Mamba-2). x (B, L, H, P), dt (B, L, H) raw, A (H) negative,
   * B and C (B, L, G, N), D (H) or (H, P), dtBias (H), state (B, H, P, N). Outputs [y] or [y, state].
   */
  SsdScan: {
    inputs: scan,
    attrs: attrs<SsdScanAttrs>(),
    saves: ['x', 'dt', 'A', 'B', 'C', 'D', 'dtBias', 'state'],
    states: ['state'],
  },
  /** Outputs [dx, ddt, dA, dB, dC, dD?, ddtBias?, dstate?]. */
  SsdScanGrad: { inputs: { ...scan, ...gradientOfState }, attrs: attrs<SsdScanAttrs>() },

  /**
   * Causal attention of each token to itself and the window - 1 tokens before it. q (B, L, H, P),
   * k and v (B, L, Hkv, P). The KV cache, cacheK and cacheV (B, C, Hkv, P), holds the token of absolute
   * position t at slot t mod C; it has room for the call. Outputs [y] or [y, cacheK, cacheV].
   */
  SlidingWindowAttention: {
    inputs: { q: float, k: float, v: float, cacheK: optional, cacheV: optional },
    attrs: attrs<SlidingWindowAttentionAttrs>(),
    saves: ['q', 'k', 'v', 'cacheK'],
    states: ['cacheK', 'cacheV'],
    varies: 'positions',
  },
  /** Only without a KV cache. Outputs [dq, dk, dv]. */
  SlidingWindowAttentionGrad: {
    inputs: { q: float, k: float, v: float, dy: float },
    attrs: attrs<SlidingWindowAttentionAttrs>(),
  },

  /** y = activation(x weight^T + bias) + residual, x (..., inFeatures). Outputs [y]. */
  PackedMatMul: {
    inputs: { x: float, weight, bias: optional, residual: optional },
    attrs: attrs<PackedMatMulAttrs>(),
    saves: ['x', 'weight', 'bias'],
  },

  /** Rows of a packed table. ids of any shape; y (ids' shape, dModel). Outputs [y]. */
  EmbeddingLookup: {
    inputs: { ids: int, weight },
    attrs: attrs<EmbeddingLookupAttrs>(),
    saves: ['ids'],
  },
  /** Outputs [dweight]. */
  EmbeddingLookupGrad: {
    inputs: { ids: int, dy: float },
    attrs: attrs<EmbeddingLookupGradAttrs>(),
  },

  /** y = activation(x) * multiplier; y = activation(x) without a multiplier. Outputs [y]. */
  GatedActivation: {
    inputs: { x: float, multiplier: optional },
    attrs: attrs<GatedActivationAttrs>(),
    saves: ['x', 'multiplier'],
  },
  /** Outputs [dx, dmultiplier?]. */
  GatedActivationGrad: {
    inputs: { x: float, multiplier: optional, dy: float },
    attrs: attrs<GatedActivationAttrs>(),
  },

  /** loss = logsumexp(logits) - logits[target] per row; 0 where target < 0. Outputs [loss]. */
  CrossEntropy: {
    inputs: { logits: float, targets: int },
    attrs: attrs<Record<string, never>>(),
    saves: ['logits', 'targets'],
  },
  /** Outputs [dlogits]. */
  CrossEntropyGrad: {
    inputs: { logits: float, targets: int, dy: float },
    attrs: attrs<Record<string, never>>(),
  },

  /** One AdamW step for one tensor. All inputs have the same shape. Outputs [variable, mean, square]. */
  AdamWStep: {
    inputs: { variable: float, mean: float, square: float, gradient: float },
    attrs: attrs<AdamWStepAttrs>(),
  },

  /**
   * The whole Mamba-2 mixer: in_proj, convolution, scan, gate and norm, out_proj, residual.
   * Outputs [y] or, with states, [y, convState, ssmState].
   */
  Mamba2Mixer: {
    inputs: {
      ...{ x: float, residual: optional, inProj: weight, inProjBias: optional },
      ...{ convWeight: float, convBias: optional, dtBias: float, A: float, D: float },
      ...{ normWeight: optional, outProj: weight, outProjBias: optional },
      ...{ convState: optional, ssmState: optional },
    },
    attrs: attrs<Mamba2MixerAttrs>(),
    saves: [
      ...['x', 'residual', 'inProj', 'inProjBias', 'convWeight', 'convBias', 'dtBias', 'A', 'D'],
      ...['normWeight', 'outProj', 'outProjBias', 'convState', 'ssmState'],
    ],
    states: ['convState', 'ssmState'],
  },

  /**
   * The whole attention mixer: in_proj to q, k and v, rotary positions, SlidingWindowAttention, out_proj,
   * residual. rotary (R / 2) holds the inverse frequencies of the first R numbers of each head. With weights
   * that are not f32, attention may round its factors to bf16. Outputs [y] or [y, cacheK, cacheV].
   */
  AttentionMixer: {
    inputs: {
      ...{ x: float, residual: optional, inProj: weight, inProjBias: optional },
      ...{ outProj: weight, outProjBias: optional, rotary: optional },
      ...{ cacheK: optional, cacheV: optional },
    },
    attrs: attrs<AttentionMixerAttrs>(),
    saves: [
      ...['x', 'residual', 'inProj', 'inProjBias', 'outProj', 'outProjBias', 'rotary'],
      ...['cacheK', 'cacheV'],
    ],
    states: ['cacheK', 'cacheV'],
    varies: 'positions',
  },

  /**
   * The whole MLP: activation(inProj x) [* gateProj x] [normalised], outProj, residual. Without gateProj it
   * is the plain MLP. Outputs [y].
   */
  GatedMLP: {
    inputs: {
      ...{ x: float, residual: optional, inProj: weight, inProjBias: optional },
      ...{ gateProj: optionalWeight, gateProjBias: optional, normWeight: optional },
      ...{ outProj: weight, outProjBias: optional },
    },
    attrs: attrs<GatedMLPAttrs>(),
    saves: [
      ...['x', 'residual', 'inProj', 'inProjBias', 'gateProj', 'gateProjBias', 'normWeight'],
      ...['outProj', 'outProjBias'],
    ],
  },
} satisfies Record<string, KernelSpec>;

/** The type of the table of custom kernels. */
export type Kernels = typeof kernels;
/** The name of a custom kernel, as tfjs registers it. */
export type KernelName = keyof Kernels;

type Inputs<Specs> = {
  [N in keyof Specs as Specs[N] extends { optional: false } ? N : never]: Tensor;
} & { [N in keyof Specs as Specs[N] extends { optional: true } ? N : never]?: Tensor | undefined };

/** A kernel's input tensors by name. */
export type KernelInputs<K extends KernelName> = Inputs<Kernels[K]['inputs']>;
export type KernelAttrs<K extends KernelName> = NonNullable<Kernels[K]['attrs']['type']>;
/** A kernel with a gradient. */
export type DifferentiableName = {
  [K in KernelName]: Kernels[K] extends { saves: readonly string[] } ? K : never;
}[KernelName];

export type RmsNormAttrs = { eps: number };
export type GatedRmsNormAttrs = { groupSize: number; eps: number; normBeforeGate: boolean };
export type CausalConv1dAttrs = { activation: Activation; returnState: boolean };
export type SsdScanAttrs = {
  dtSoftplus: boolean;
  /** dt is clamped to [dtMin, dtMax] after softplus; 0 and Infinity do not clamp it. */
  dtMin: number;
  dtMax: number;
  chunkSize: number;
  returnState: boolean;
};
export type SlidingWindowAttentionAttrs = {
  /** Number of keys that a token attends to, itself included; Infinity for full causal attention. */
  window: number;
  scale: number;
  /** Number of tokens that each sequence has seen before this call; empty without a KV cache. */
  positions: number[];
  /** Whether keys, values and factors may be rounded to bf16. A KV cache's format decides this too. Default: false. */
  rounds?: boolean;
};
export type PackedMatMulAttrs = { weight: PackedWeightAttrs; activation: Activation };
export type EmbeddingLookupAttrs = { weight: PackedWeightAttrs };
export type EmbeddingLookupGradAttrs = { rows: number };
export type GatedActivationAttrs = { activation: Activation };
export type AdamWStepAttrs = {
  /** Factor on the gradient. */
  scale: number;
  beta1: number;
  beta2: number;
  eps: number;
  /** 1 / (1 - beta^t) for each beta: corrects the bias of moments that start at 0. */
  meanCorrection: number;
  squareCorrection: number;
  learningRate: number;
  weightDecay: number;
};
export type Mamba2MixerAttrs = {
  inProj: PackedWeightAttrs;
  outProj: PackedWeightAttrs;
  /** Channels of the scan. The other dInner - dSsm channels are a plain gated MLP. */
  dSsm: number;
  dInner: number;
  headDim: number;
  dState: number;
  nGroups: number;
  /** Channels that are normalised together. Default: dSsm / nGroups. */
  normGroupSize?: number;
  normBeforeGate: boolean;
  eps: number;
  dtMin: number;
  dtMax: number;
  chunkSize: number;
};
export type AttentionMixerAttrs = Omit<SlidingWindowAttentionAttrs, 'rounds'> & {
  inProj: PackedWeightAttrs;
  outProj: PackedWeightAttrs;
  heads: number;
  kvHeads: number;
  headDim: number;
};
export type GatedMLPAttrs = {
  inProj: PackedWeightAttrs;
  gateProj?: PackedWeightAttrs;
  outProj: PackedWeightAttrs;
  activation: Activation;
  eps: number;
};
