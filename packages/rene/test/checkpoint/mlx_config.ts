// The configuration of the tests' quantised models.
import { type ReneConfig, reneConfig } from '../../src/config.js';

/** Of cartesia-mlx's Rene family: SwiGLU with a norm, multi-query attention, an untied head with a bias. */
export const config: ReneConfig = reneConfig({
  dModel: 128,
  nLayer: 4,
  vocabSize: 96,
  padVocabSizeMultiple: 1,
  ssm: {
    dState: 16,
    headDim: 16,
    normBeforeGate: true,
    dtLimit: [0.001, Number.POSITIVE_INFINITY],
  },
  attnLayerIdx: [2],
  attn: {
    numHeads: 8,
    numHeadsKv: 1,
    headDim: 16,
    slidingWindowLength: 8,
    qkvProjBias: false,
    outProjBias: false,
  },
  mlpLayerIdx: [1],
  mlp: { dInner: 128, bias: false, gated: true, norm: true },
  tieWordEmbeddings: false,
  lmHeadBias: true,
  eosTokenId: 95,
});
