// A model that trains in milliseconds on any backend, and a text for it.
import { ReneLMHeadModel, reneConfig } from '../../src/index.js';
import { encodeDocuments, type TokenDocuments } from '../../src/training/token_dataset.js';

export const VOCAB_SIZE = 28;

/** All three kinds of blocks. Letters are 2 ... 27, eos is 0. */
export function smallModel(seed = 'test', backend = 'simd'): Promise<ReneLMHeadModel> {
  const config = reneConfig({
    dModel: 16,
    nLayer: 3,
    vocabSize: VOCAB_SIZE,
    padVocabSizeMultiple: 4,
    ssm: { dState: 4, headDim: 8, chunkSize: 4 },
    attnLayerIdx: [1],
    attn: { numHeads: 2, headDim: 8, slidingWindowLength: 8 },
    mlpLayerIdx: [2],
    mlp: { expand: 2 },
    eosTokenId: 0,
    padTokenId: 1,
  });
  return ReneLMHeadModel.fromConfig(config, { backend, trainable: true, seed });
}

const WORDS = ['abacus', 'banana', 'cabbage', 'dada', 'egg', 'faded', 'gaga', 'hedge'];

/** Words of one pattern, so that there is something to learn. */
export function smallText(documents: number, from = 0, words = WORDS): TokenDocuments {
  const texts = Array.from({ length: documents }, (_, i) => words[(i + from) % words.length] ?? '');
  return encodeDocuments(texts, {
    encode: (text) => Array.from(text, (c) => c.charCodeAt(0) - 97 + 2),
    eosId: 0,
    vocabSize: VOCAB_SIZE,
  });
}
