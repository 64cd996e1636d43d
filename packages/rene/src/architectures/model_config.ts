// What the configurations of all architectures share.

/** A model's vocabulary and its special tokens; plain data. */
export interface ModelConfig {
  readonly dModel: number;
  /** Layers as the original counts them. */
  readonly nLayer: number;
  readonly vocabSize: number;
  /** Rows of the embedding and of the head. */
  readonly paddedVocabSize: number;
  readonly tieWordEmbeddings: boolean;
  readonly lmHeadBias: boolean;
  readonly padTokenId: number;
  readonly bosTokenId: number | null;
  /** The first of eosTokenIds; null for none. */
  readonly eosTokenId: number | null;
  /** Tokens any of which ends a text. */
  readonly eosTokenIds: readonly number[];
}
