// The configuration of rene-tiny: Rene's twelve blocks in a small size.
import { type ReneConfig, reneConfig } from '../config.js';

/**
 * 2.1 M parameters with a vocabulary of 2,048, 3.1 M with rene-tiny's 8,192. The special ids are
 * trainBpe's.
 */
export function tinyConfig(vocabSize: number): ReneConfig {
  return reneConfig({
    dModel: 160,
    nLayer: 12,
    vocabSize,
    padVocabSizeMultiple: 16,
    ssm: { dState: 32, headDim: 32, chunkSize: 32 },
    attnLayerIdx: [6],
    attn: {
      numHeads: 5,
      headDim: 32,
      qkvProjBias: false,
      outProjBias: false,
      slidingWindowLength: 128,
    },
    mlpLayerIdx: [2, 5, 8, 11],
    mlp: { expand: 2.5, bias: false },
    eosTokenId: 0,
    padTokenId: 1,
  });
}
