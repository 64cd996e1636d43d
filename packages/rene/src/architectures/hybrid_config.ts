// The configuration of a hybrid of the transformers library: a row of layers, each of one block or several.
import type { AttentionConfig, GatedMLPConfig, Mamba2Config } from '@rene-js/layers';
import type { ModelConfig } from './model_config.js';

/** A Mamba-2 mixer, named `<name>.in_proj` and so on. */
export interface Mamba2Block {
  readonly kind: 'ssd';
  readonly sizes: Mamba2Config &
    Required<Pick<Mamba2Config, 'dInner' | 'headDim' | 'dState' | 'nGroups' | 'dConv'>>;
  readonly inProjBias: boolean;
  readonly outProjBias: boolean;
  /** Multiplies the mixer's input. Default: 1. */
  readonly inScale?: number;
  /** Multiply in_proj's output: z, x, B, C and dt. Default: 1 each. */
  readonly sectionScales?: readonly number[];
  /** Multiplies the mixer's output. Default: 1. */
  readonly outScale?: number;
}

/** Attention, named `<name>.q_proj`, `k_proj`, `v_proj`, `o_proj`. */
export interface AttentionBlock {
  readonly kind: 'attn';
  readonly sizes: AttentionConfig & { numHeadsKv: number; headDim: number; softmaxScale: number };
  readonly bias: boolean;
  /** Multiplies the mixer's input. Default: 1. */
  readonly inScale?: number;
  /** Multiplies the mixer's output. Default: 1. */
  readonly outScale?: number;
}

/** An MLP, gated or not. */
export interface MlpBlock {
  readonly kind: 'mlp';
  readonly sizes: GatedMLPConfig;
  /**
   * The activated matrix, the one that multiplies it, and the last. `gate` and `up` of one name are the halves of
   * one matrix; without `up` the MLP is not gated.
   */
  readonly names: { readonly gate: string; readonly up?: string; readonly down: string };
  /** Multiplies the activation's input. Default: 1. */
  readonly gateScale?: number;
  /** Multiplies the mixer's output. Default: 1. */
  readonly outScale?: number;
}

/** residual + mixer(norm(x)) */
export type HybridBlock = {
  /** Its norm's name. */
  readonly norm: string;
  /** Its mixer's name. */
  readonly name: string;
  /** Reads the input of the block before it, through the same norm, and adds to its output. */
  readonly isParallel?: boolean;
} & (Mamba2Block | AttentionBlock | MlpBlock);

export interface HybridConfig extends ModelConfig {
  /** As in config.json. */
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
  /** Multiplies the embedding's rows. */
  readonly embeddingScale: number;
  /** Multiplies the output of every mixer before it is added. */
  readonly residualScale: number;
  /** Multiplies the logits. */
  readonly logitsScale: number;
  readonly layers: readonly (readonly HybridBlock[])[];
}

/** The configuration as config.json has it, with what has changed since it was read. */
export function hybridToJson(config: HybridConfig): Record<string, unknown> {
  const { json, eosTokenIds, eosTokenId, tieWordEmbeddings } = config;
  return {
    ...json,
    tie_word_embeddings: tieWordEmbeddings,
    eos_token_id: eosTokenIds.length > 1 ? [...eosTokenIds] : eosTokenId,
  };
}
