// The configuration of a hybrid of the transformers library: a sequence of layers, each with one or more
// blocks.
import type { AttentionConfig, GatedMLPConfig, Mamba2Config } from '@rene-js/layers';
import type { ModelConfig } from './model_config.js';

/** A Mamba-2 mixer. Its tensors are `<name>.in_proj` and so on. */
export interface Mamba2Block {
  readonly kind: 'ssd';
  readonly sizes: Mamba2Config &
    Required<Pick<Mamba2Config, 'dInner' | 'headDim' | 'dState' | 'nGroups' | 'dConv'>>;
  readonly inProjBias: boolean;
  readonly outProjBias: boolean;
  /** Factor of the mixer's input. Default: 1. */
  readonly inScale?: number;
  /** Factors of in_proj's outputs z, x, B, C and dt. Default: 1 each. */
  readonly sectionScales?: readonly number[];
  /** Factor of the mixer's output. Default: 1. */
  readonly outScale?: number;
}

/** Attention. Its tensors are `<name>.q_proj`, `k_proj`, `v_proj`, `o_proj`. */
export interface AttentionBlock {
  readonly kind: 'attn';
  readonly sizes: AttentionConfig & { numHeadsKv: number; headDim: number; softmaxScale: number };
  readonly bias: boolean;
  /** Factor of the mixer's input. Default: 1. */
  readonly inScale?: number;
  /** Factor of the mixer's output. Default: 1. */
  readonly outScale?: number;
}

/** An MLP, with or without a gate. */
export interface MlpBlock {
  readonly kind: 'mlp';
  readonly sizes: GatedMLPConfig;
  /**
   * The matrix before the activation, the one that multiplies it, and the output matrix. `gate` and `up` of
   * the same name are the halves of one matrix. Without `up` the MLP has no gate.
   */
  readonly names: { readonly gate: string; readonly up?: string; readonly down: string };
  /** Factor of the activation's input. Default: 1. */
  readonly gateScale?: number;
  /** Factor of the mixer's output. Default: 1. */
  readonly outScale?: number;
}

/** residual + mixer(norm(x)) */
export type HybridBlock = {
  /** Name of its norm. */
  readonly norm: string;
  /** Name of its mixer. */
  readonly name: string;
  /** Reads the input of the previous block, through the same norm, and adds to its output. */
  readonly isParallel?: boolean;
} & (Mamba2Block | AttentionBlock | MlpBlock);

export interface HybridConfig extends ModelConfig {
  /** model_type of config.json. */
  readonly modelType: string;
  /** The content of config.json. */
  readonly json: Readonly<Record<string, unknown>>;
  readonly normEps: number;
  readonly names: {
    readonly embedding: string;
    /** Layer i is `<layers>.<i>`. */
    readonly layers: string;
    readonly normF: string;
  };
  /** Factor of the embedding's rows. */
  readonly embeddingScale: number;
  /** Factor of every mixer's output before it is added. */
  readonly residualScale: number;
  /** Factor of the logits. */
  readonly logitsScale: number;
  readonly layers: readonly (readonly HybridBlock[])[];
}

/** The configuration as config.json, with changes since it was read. */
export function hybridToJson(config: HybridConfig): Record<string, unknown> {
  const { json, eosTokenIds, eosTokenId, tieWordEmbeddings } = config;
  return {
    ...json,
    tie_word_embeddings: tieWordEmbeddings,
    eos_token_id: eosTokenIds.length > 1 ? [...eosTokenIds] : eosTokenId,
  };
}
