// Writes a configuration as config.json.
import type { AttnConfig, MlpConfig, ReneConfig } from './config.js';

/**
 * The configuration as a JSON object that the original Python code (`ReneConfig`) loads. Omits Python's
 * defaults. An infinite dt_limit is written as `Infinity`.
 */
export function configToJson(config: ReneConfig): Record<string, unknown> {
  const { ssm } = config;
  return {
    architectures: ['ReneLMHeadModel'],
    model_type: 'rene',
    d_model: config.dModel,
    n_layer: config.nLayer,
    vocab_size: config.vocabSize,
    ssm_cfg: {
      d_state: ssm.dState,
      d_conv: ssm.dConv,
      expand: ssm.expand,
      headdim: ssm.headDim,
      ...(ssm.dSsm !== ssm.dInner && { d_ssm: ssm.dSsm }),
      ngroups: ssm.nGroups,
      A_init_range: [...ssm.aInitRange],
      D_has_hdim: ssm.dHasHdim,
      rmsnorm: ssm.rmsNorm,
      norm_before_gate: ssm.normBeforeGate,
      dt_min: ssm.dtMin,
      dt_max: ssm.dtMax,
      dt_init_floor: ssm.dtInitFloor,
      ...(isLimited(ssm.dtLimit) && { dt_limit: [...ssm.dtLimit] }),
      bias: ssm.bias,
      conv_bias: ssm.convBias,
      chunk_size: ssm.chunkSize,
    },
    attn_layer_idx: [...config.attnLayerIdx],
    attn_cfg: config.attn ? attnToJson(config.attn) : {},
    mlp_layer_idx: [...config.mlpLayerIdx],
    mlp_cfg: config.mlp ? mlpToJson(config.mlp, config.dModel) : {},
    rms_norm: config.rmsNorm,
    ...(config.normEps !== 1e-5 && { norm_epsilon: config.normEps }),
    residual_in_fp32: config.residualInFp32,
    pad_vocab_size_multiple: config.padVocabSizeMultiple,
    tie_word_embeddings: config.tieWordEmbeddings,
    ...(config.lmHeadBias && { lm_head_bias: true }),
    pad_token_id: config.padTokenId,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenIds.length > 1 ? [...config.eosTokenIds] : config.eosTokenId,
  };
}

function isLimited([min, max]: readonly [number, number]): boolean {
  return min > 0 || max !== Number.POSITIVE_INFINITY;
}

function attnToJson(attn: AttnConfig): Record<string, unknown> {
  return {
    causal: true,
    num_heads: attn.numHeads,
    num_heads_kv: attn.numHeadsKv,
    head_dim: attn.headDim,
    qkv_proj_bias: attn.qkvProjBias,
    out_proj_bias: attn.outProjBias,
    sliding_window_length: attn.slidingWindowLength,
    softmax_scale: attn.softmaxScale,
  };
}

/** The last keys are ours: the original supports neither gate nor norm and refuses unknown keys. */
function mlpToJson(mlp: MlpConfig, dModel: number): Record<string, unknown> {
  return {
    expand: mlp.dInner / dModel,
    bias: mlp.bias,
    ...(mlp.gated && { gated: true }),
    ...(mlp.norm && { norm: true }),
    ...(mlp.activation !== (mlp.gated ? 'silu' : 'gelu') && { activation: mlp.activation }),
  };
}
