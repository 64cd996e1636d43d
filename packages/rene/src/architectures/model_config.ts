// The part of a configuration that all architectures share.

/** A model's sizes, vocabulary and special tokens, as plain data. */
export interface ModelConfig {
  readonly dModel: number;
  /** Number of layers, as the original counts them. */
  readonly nLayer: number;
  readonly vocabSize: number;
  /** Rows of the embedding and of the head. */
  readonly paddedVocabSize: number;
  readonly tieWordEmbeddings: boolean;
  readonly lmHeadBias: boolean;
  readonly padTokenId: number;
  readonly bosTokenId: number | null;
  /** The first of eosTokenIds; null if there are none. */
  readonly eosTokenId: number | null;
  /** Tokens that end a sequence. */
  readonly eosTokenIds: readonly number[];
}
