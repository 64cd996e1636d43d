// Every custom kernel: its name, its inputs and its attributes. The contract between ops and backends.
//
// Shapes: B batch, L length, D channels, H heads, P head dimension, G groups, N state size,
// W convolution width, C ring capacity. All tensors are float32 unless said otherwise.
// A PackedWeight `w` travels as the inputs `w`, `w.scales`, `w.offsets` and the attribute `w`.
import type { Tensor } from '@tensorflow/tfjs-core';
import type { PackedWeightAttrs } from './weights/packed_weight.js';

/** What an MLP applies to its hidden numbers; gelu is the exact one, with erf. */
export type Activation = 'linear' | 'silu' | 'gelu';

/** y = x / rms(x) * weight over the last axis. Outputs [y]. */
export type RmsNormInputs = { x: Tensor; weight: Tensor };
export type RmsNormAttrs = { eps: number };
/** Outputs [dx, dweight]. */
export type RmsNormGradInputs = { x: Tensor; weight: Tensor; dy: Tensor };

/** RMS norm over groups of channels, gated by silu(z) before or after. Outputs [y]. */
export type GatedRmsNormInputs = { x: Tensor; z?: Tensor; weight: Tensor };
export type GatedRmsNormAttrs = { groupSize: number; eps: number; normBeforeGate: boolean };
/** Outputs [dx, dweight, dz?]. */
export type GatedRmsNormGradInputs = { x: Tensor; z?: Tensor; weight: Tensor; dy: Tensor };

/**
 * Depthwise causal cross-correlation, bias, activation. x (B, L, D), weight (D, W), bias (D),
 * state (B, W, D): the last W raw inputs, oldest first. Outputs [y] or [y, state].
 */
export type CausalConv1dInputs = { x: Tensor; weight: Tensor; bias?: Tensor; state?: Tensor };
export type CausalConv1dAttrs = { activation: Activation; returnState: boolean };
/** dstateOut only when the state was returned. Outputs [dx, dweight, dbias?, dstate?]. */
export type CausalConv1dGradInputs = CausalConv1dInputs & { dy: Tensor; dstateOut?: Tensor };

/**
 * The state-space-dual scan (Mamba-2). x (B, L, H, P), dt (B, L, H) raw, A (H) negative,
 * B and C (B, L, G, N), D (H) or (H, P), dtBias (H), state (B, H, P, N). Outputs [y] or [y, state].
 */
export type SsdScanInputs = {
  x: Tensor;
  dt: Tensor;
  A: Tensor;
  B: Tensor;
  C: Tensor;
  D?: Tensor;
  dtBias?: Tensor;
  state?: Tensor;
};
export type SsdScanAttrs = {
  dtSoftplus: boolean;
  /** dt is clamped to [dtMin, dtMax] after softplus; 0 and Infinity leave it alone. */
  dtMin: number;
  dtMax: number;
  chunkSize: number;
  returnState: boolean;
};
/** Outputs [dx, ddt, dA, dB, dC, dD?, ddtBias?, dstate?]. */
export type SsdScanGradInputs = SsdScanInputs & { dy: Tensor; dstateOut?: Tensor };

/**
 * Causal attention of each token to itself and the window - 1 before it. q (B, L, H, P),
 * k and v (B, L, Hkv, P). With a ring, ringK and ringV (B, C, Hkv, P) hold the token of absolute
 * position t at slot t mod C, and C is large enough for the call. Outputs [y] or [y, ringK, ringV].
 */
export type SlidingWindowAttentionInputs = {
  q: Tensor;
  k: Tensor;
  v: Tensor;
  ringK?: Tensor;
  ringV?: Tensor;
};
export type SlidingWindowAttentionAttrs = {
  /** Keys a token sees, itself included; Infinity for full causal attention. */
  window: number;
  scale: number;
  /** Tokens seen by each row of the batch before this call; empty without a ring. */
  positions: number[];
  /** Whether keys, values and factors may be rounded to bf16; no unless given. A ring says so itself. */
  rounds?: boolean;
};
/** Without a ring only. Outputs [dq, dk, dv]. */
export type SlidingWindowAttentionGradInputs = { q: Tensor; k: Tensor; v: Tensor; dy: Tensor };

/** y = activation(x weight^T + bias) + residual, x (..., inFeatures). Outputs [y]. */
export type PackedMatMulInputs = {
  x: Tensor;
  weight: Tensor;
  'weight.scales'?: Tensor;
  'weight.offsets'?: Tensor;
  bias?: Tensor;
  residual?: Tensor;
};
export type PackedMatMulAttrs = { weight: PackedWeightAttrs; activation: Activation };

/** Rows of a packed table. ids int32 of any shape; y is ids' shape with dModel. Outputs [y]. */
export type EmbeddingLookupInputs = {
  ids: Tensor;
  weight: Tensor;
  'weight.scales'?: Tensor;
  'weight.offsets'?: Tensor;
};
export type EmbeddingLookupAttrs = { weight: PackedWeightAttrs };
/** Outputs [dweight]. */
export type EmbeddingLookupGradInputs = { ids: Tensor; dy: Tensor };
export type EmbeddingLookupGradAttrs = { rows: number };

/** y = activation(x) * multiplier; without a multiplier the activation alone. Outputs [y]. */
export type GatedActivationInputs = { x: Tensor; multiplier?: Tensor };
export type GatedActivationAttrs = { activation: Activation };
/** Outputs [dx, dmultiplier?]. */
export type GatedActivationGradInputs = { x: Tensor; multiplier?: Tensor; dy: Tensor };

/** loss = logsumexp(logits) - logits[target], per row; 0 where target < 0. Outputs [loss]. */
export type CrossEntropyInputs = { logits: Tensor; targets: Tensor };
/** Outputs [dlogits]. */
export type CrossEntropyGradInputs = { logits: Tensor; targets: Tensor; dy: Tensor };

/** A step of AdamW for one tensor; all inputs of one shape. Outputs [variable, mean, square]. */
export type AdamWStepInputs = { variable: Tensor; mean: Tensor; square: Tensor; gradient: Tensor };
export type AdamWStepAttrs = {
  /** Multiplies the gradient first. */
  scale: number;
  beta1: number;
  beta2: number;
  eps: number;
  /** 1 / (1 - beta^t) of either beta: what makes up for moments that start from 0. */
  meanCorrection: number;
  squareCorrection: number;
  learningRate: number;
  weightDecay: number;
};

/**
 * The whole Mamba-2 mixer: in_proj, convolution, scan, gate and norm, out_proj, residual.
 * Outputs [y] or, with states, [y, convState, ssmState].
 */
export type Mamba2MixerInputs = {
  x: Tensor;
  residual?: Tensor;
  inProj: Tensor;
  'inProj.scales'?: Tensor;
  'inProj.offsets'?: Tensor;
  inProjBias?: Tensor;
  convWeight: Tensor;
  convBias?: Tensor;
  dtBias: Tensor;
  A: Tensor;
  D: Tensor;
  normWeight?: Tensor;
  outProj: Tensor;
  'outProj.scales'?: Tensor;
  'outProj.offsets'?: Tensor;
  outProjBias?: Tensor;
  convState?: Tensor;
  ssmState?: Tensor;
};
export type Mamba2MixerAttrs = {
  inProj: PackedWeightAttrs;
  outProj: PackedWeightAttrs;
  /** Channels that go through the scan; the rest of dInner is a plain gated MLP. */
  dSsm: number;
  dInner: number;
  headDim: number;
  dState: number;
  nGroups: number;
  normBeforeGate: boolean;
  eps: number;
  dtMin: number;
  dtMax: number;
  chunkSize: number;
};

/**
 * The whole attention mixer: in_proj to q, k and v, SlidingWindowAttention, out_proj, residual. Factors
 * of the attention may be rounded to bf16 beside weights that are not f32. Outputs [y] or [y, ringK, ringV].
 */
export type AttentionMixerInputs = {
  x: Tensor;
  residual?: Tensor;
  inProj: Tensor;
  'inProj.scales'?: Tensor;
  'inProj.offsets'?: Tensor;
  inProjBias?: Tensor;
  outProj: Tensor;
  'outProj.scales'?: Tensor;
  'outProj.offsets'?: Tensor;
  outProjBias?: Tensor;
  ringK?: Tensor;
  ringV?: Tensor;
};
export type AttentionMixerAttrs = Omit<SlidingWindowAttentionAttrs, 'rounds'> & {
  inProj: PackedWeightAttrs;
  outProj: PackedWeightAttrs;
  heads: number;
  kvHeads: number;
  headDim: number;
};

/**
 * The whole MLP: activation(inProj x) [* gateProj x] [normed], outProj, residual.
 * Without gateProj it is the plain MLP. Outputs [y].
 */
export type GatedMLPInputs = {
  x: Tensor;
  residual?: Tensor;
  inProj: Tensor;
  'inProj.scales'?: Tensor;
  'inProj.offsets'?: Tensor;
  inProjBias?: Tensor;
  gateProj?: Tensor;
  'gateProj.scales'?: Tensor;
  'gateProj.offsets'?: Tensor;
  gateProjBias?: Tensor;
  normWeight?: Tensor;
  outProj: Tensor;
  'outProj.scales'?: Tensor;
  'outProj.offsets'?: Tensor;
  outProjBias?: Tensor;
};
export type GatedMLPAttrs = {
  inProj: PackedWeightAttrs;
  gateProj?: PackedWeightAttrs;
  outProj: PackedWeightAttrs;
  activation: Activation;
  eps: number;
};

/** Kernel name to inputs and attributes. A new op adds a line here and one in each backend's list. */
export interface Kernels {
  RmsNorm: [RmsNormInputs, RmsNormAttrs];
  RmsNormGrad: [RmsNormGradInputs, RmsNormAttrs];
  GatedRmsNorm: [GatedRmsNormInputs, GatedRmsNormAttrs];
  GatedRmsNormGrad: [GatedRmsNormGradInputs, GatedRmsNormAttrs];
  CausalConv1d: [CausalConv1dInputs, CausalConv1dAttrs];
  CausalConv1dGrad: [CausalConv1dGradInputs, CausalConv1dAttrs];
  SsdScan: [SsdScanInputs, SsdScanAttrs];
  SsdScanGrad: [SsdScanGradInputs, SsdScanAttrs];
  SlidingWindowAttention: [SlidingWindowAttentionInputs, SlidingWindowAttentionAttrs];
  SlidingWindowAttentionGrad: [SlidingWindowAttentionGradInputs, SlidingWindowAttentionAttrs];
  PackedMatMul: [PackedMatMulInputs, PackedMatMulAttrs];
  EmbeddingLookup: [EmbeddingLookupInputs, EmbeddingLookupAttrs];
  EmbeddingLookupGrad: [EmbeddingLookupGradInputs, EmbeddingLookupGradAttrs];
  GatedActivation: [GatedActivationInputs, GatedActivationAttrs];
  GatedActivationGrad: [GatedActivationGradInputs, GatedActivationAttrs];
  CrossEntropy: [CrossEntropyInputs, Record<string, never>];
  CrossEntropyGrad: [CrossEntropyGradInputs, Record<string, never>];
  AdamWStep: [AdamWStepInputs, AdamWStepAttrs];
  Mamba2Mixer: [Mamba2MixerInputs, Mamba2MixerAttrs];
  AttentionMixer: [AttentionMixerInputs, AttentionMixerAttrs];
  GatedMLP: [GatedMLPInputs, GatedMLPAttrs];
}

/** The name of a custom kernel, as tfjs registers it. */
export type KernelName = keyof Kernels;
export type KernelInputs<K extends KernelName> = Kernels[K][0];
export type KernelAttrs<K extends KernelName> = Kernels[K][1];
