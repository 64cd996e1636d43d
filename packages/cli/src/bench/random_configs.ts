// Configurations of `rene bench --random-weights`: the sizes of published models.
import { type ModelConfig, parseModelConfig, reneConfig1_3B } from '@rene-js/rene';
import { tinyConfig } from '@rene-js/rene/training';

/** A configuration by its name. */
export const randomConfigs: Readonly<Record<string, () => ModelConfig>> = {
  '1.3b': () => reneConfig1_3B,
  tiny: () => tinyConfig(2048),
  'granite-4.0-h-350m': () =>
    granite({ width: 768, layers: 32, attention: [10, 13, 17, 27], mlp: 2048, headDim: 32 }),
  'granite-4.0-h-1b': () =>
    granite({ width: 1536, layers: 40, attention: [5, 15, 25, 35], mlp: 4096, headDim: 64 }),
  'falcon-h1-0.5b': () =>
    parseModelConfig({
      model_type: 'falcon_h1',
      hidden_size: 1024,
      num_hidden_layers: 36,
      intermediate_size: 2048,
      vocab_size: 32784,
      num_attention_heads: 8,
      num_key_value_heads: 2,
      head_dim: 64,
      rope_theta: 1e11,
      mamba_d_ssm: 1536,
      mamba_n_heads: 24,
      mamba_d_head: 64,
      mamba_d_state: 128,
      mamba_n_groups: 1,
      mamba_norm_before_gate: false,
      tie_word_embeddings: false,
      eos_token_id: 11,
    }),
  'mamba2-1.3b': () =>
    parseModelConfig({
      d_model: 2048,
      d_intermediate: 0,
      n_layer: 48,
      vocab_size: 50277,
      ssm_cfg: { layer: 'Mamba2' },
      attn_layer_idx: [],
      attn_cfg: {},
      rms_norm: true,
      residual_in_fp32: true,
      fused_add_norm: true,
      pad_vocab_size_multiple: 16,
      tie_embeddings: true,
    }),
};

interface GraniteSizes {
  width: number;
  layers: number;
  /** Indices of the attention layers. */
  attention: readonly number[];
  mlp: number;
  /** Of the Mamba-2 layers. */
  headDim: number;
}

/** Granite 4.0-H: the sizes in which its models agree, and these. */
function granite({ width, layers, attention, mlp, headDim }: GraniteSizes): ModelConfig {
  return parseModelConfig({
    model_type: 'granitemoehybrid',
    hidden_size: width,
    num_hidden_layers: layers,
    layer_types: Array.from({ length: layers }, (_, i) =>
      attention.includes(i) ? 'attention' : 'mamba',
    ),
    shared_intermediate_size: mlp,
    num_local_experts: 0,
    vocab_size: 100_352,
    num_attention_heads: 12,
    num_key_value_heads: 4,
    attention_multiplier: 12 / width,
    position_embedding_type: 'nope',
    mamba_n_heads: 48,
    mamba_d_head: headDim,
    mamba_d_state: 128,
    mamba_n_groups: 1,
    tie_word_embeddings: true,
    eos_token_id: 100_257,
  });
}
