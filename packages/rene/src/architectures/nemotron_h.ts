// Nemotron-H: one mixer per layer, by a pattern; a squared-ReLU MLP; attention without positions. Mixtures of
// experts are refused.
import type { Activation } from '@rene-js/layers';
import type { ConfigValues } from './config_values.js';
import { hybridArchitecture } from './hybrid_architecture.js';
import type { HybridBlock } from './hybrid_config.js';
import { attentionSizes } from './mamba_values.js';

type Kind = 'mamba' | 'mlp' | 'attention';

const PATTERN: Readonly<Record<string, Kind>> = { M: 'mamba', '-': 'mlp', '*': 'attention' };

export const nemotronH = hybridArchitecture({
  title: 'Nemotron-H (nemotron_h)',
  modelTypes: ['nemotron_h'],
  // Files of the authors' own code have other name prefixes.
  tensorName: (name) => name.replace(/^backbone\./, 'model.'),
  read(values) {
    const dModel = values.size('hidden_size', 4096);
    const kinds = layerKinds(values);
    const normEps = values.positive('layer_norm_epsilon', 1e-5, 'rms_norm_eps', 'norm_eps');
    const heads = values.size('mamba_num_heads', 128);
    const headDim = values.size('mamba_head_dim', 64);
    const nGroups = values.size('mamba_n_groups', 8, 'n_groups');
    values.checkDivides('n_groups', nGroups, heads, 'mamba_num_heads');
    values.oneOf('mamba_hidden_act', ['silu'], 'silu');
    const useBias = values.flag('use_bias', false);
    const attention = attentionSizes(values, dModel, 8);
    const attentionHeadDim = values.size('head_dim', 128, 'attention_head_dim');
    const blocks: Readonly<Record<Kind, HybridBlock>> = {
      mamba: {
        kind: 'ssd',
        norm: 'norm',
        name: 'mixer',
        sizes: {
          dModel,
          dInner: heads * headDim,
          headDim,
          nGroups,
          dState: values.size('ssm_state_size', 128),
          dConv: values.size('mamba_d_conv', 4, 'conv_kernel'),
          chunkSize: values.size('mamba_chunk_size', 128, 'chunk_size'),
          convBias: values.flag('mamba_conv_bias', true, 'use_conv_bias'),
          // time_step_limit is ignored, as in the original.
          dtLimit: [
            values.positive('mamba_dt_min', 0.001, 'time_step_min'),
            Number.POSITIVE_INFINITY,
          ],
        },
        inProjBias: useBias,
        outProjBias: useBias,
      },
      attention: {
        kind: 'attn',
        norm: 'norm',
        name: 'mixer',
        sizes: {
          ...attention,
          headDim: attentionHeadDim,
          softmaxScale: 1 / Math.sqrt(attentionHeadDim),
        },
        bias: false,
      },
      mlp: {
        kind: 'mlp',
        norm: 'norm',
        name: 'mixer',
        sizes: {
          dModel,
          dInner: values.size('intermediate_size', 21_504),
          bias: values.flag('mlp_bias', false),
          activation: values.oneOf<Activation>(
            'mlp_hidden_act',
            ['relu2', 'silu', 'gelu'],
            'relu2',
          ),
        },
        names: { gate: 'up_proj', down: 'down_proj' },
      },
    };
    return {
      dModel,
      nLayer: kinds.length,
      ...values.vocabulary({ vocabSize: 131_072, pad: 0, bos: 1, eos: 2 }),
      // The transformers library ties no weights of this family, whatever the config says.
      tieWordEmbeddings: false,
      normEps,
      names: { embedding: 'model.embeddings', layers: 'model.layers', normF: 'model.norm_f' },
      embeddingScale: 1,
      residualScale: 1,
      logitsScale: 1,
      layers: kinds.map((kind) => [blocks[kind]]),
    };
  },
});

/** From hybrid_override_pattern, or a list under one of several keys. */
function layerKinds(values: ConfigValues): Kind[] {
  const key = values.json.layers_block_type == null ? 'layer_types' : 'layers_block_type';
  const list = values.value(key);
  if (list !== undefined) {
    return values.layerTypes<Kind>(key, list, {
      mamba: 'mamba',
      linear_attention: 'mamba',
      mlp: 'mlp',
      attention: 'attention',
      full_attention: 'attention',
    });
  }
  const pattern = values.value('hybrid_override_pattern');
  if (typeof pattern !== 'string') {
    throw values.error('layers_block_type', 'a list of layers, or hybrid_override_pattern');
  }
  return values.layerTypes('hybrid_override_pattern', [...pattern], PATTERN);
}
