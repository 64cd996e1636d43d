// Granite 4.0-H: each layer is Mamba-2 or attention, then an MLP, with a residual multiplier. Models with
// experts are refused.
import { hybridArchitecture } from './hybrid_architecture.js';
import type { HybridBlock } from './hybrid_config.js';
import { attentionSizes, mambaSizes } from './mamba_values.js';
import { ropeFrequencies } from './rope.js';

type Kind = 'mamba' | 'attention';

export const graniteMoeHybrid = hybridArchitecture({
  title: 'Granite 4.0-H (granitemoehybrid)',
  modelTypes: ['granitemoehybrid'],
  read(values) {
    const dModel = values.size('hidden_size', 4096);
    const experts = values.value('num_local_experts') ?? 8;
    if (experts !== 0) {
      throw values.error(
        'num_local_experts',
        '0 (mixtures of experts are not supported)',
        `${experts}`,
      );
    }
    values.oneOf('hidden_act', ['silu'], 'silu');
    const nLayer = values.size('num_hidden_layers', 32);
    const key = values.json.layer_types == null ? 'layers_block_type' : 'layer_types';
    const types = values.layerTypes<Kind>(key, values.value(key) ?? Array(nLayer).fill('mamba'), {
      mamba: 'mamba',
      linear_attention: 'mamba',
      attention: 'attention',
      full_attention: 'attention',
    });
    if (types.length !== nLayer) {
      throw values.error(key, `num_hidden_layers (${nLayer}) layers`, `${types.length}`);
    }
    const normEps = values.positive('rms_norm_eps', 1e-6);
    const attention = {
      ...attentionSizes(values, dModel),
      softmaxScale: values.positive('attention_multiplier', 1),
    };
    const hasPositions = values.value('position_embedding_type') === 'rope';
    const rotaryFrequencies = hasPositions ? ropeFrequencies(values, attention.headDim) : null;
    const mamba = mambaSizes(values, dModel, { heads: 128, dState: 256 });
    const mambaBias = values.flag('mamba_proj_bias', false);
    const mixers: Readonly<Record<Kind, HybridBlock>> = {
      mamba: {
        kind: 'ssd',
        norm: 'input_layernorm',
        name: 'mamba',
        // The norm spans all channels, for any number of groups.
        sizes: { ...mamba, normGroupSize: mamba.dInner },
        inProjBias: mambaBias,
        outProjBias: mambaBias,
      },
      attention: {
        kind: 'attn',
        norm: 'input_layernorm',
        name: 'self_attn',
        sizes: { ...attention, rotaryFrequencies },
        bias: values.flag('attention_bias', false),
      },
    };
    const mlp: HybridBlock = {
      kind: 'mlp',
      norm: 'post_attention_layernorm',
      name: 'shared_mlp',
      sizes: {
        dModel,
        dInner: values.size('shared_intermediate_size', 1024),
        bias: false,
        activation: 'silu',
      },
      names: { gate: 'input_linear', up: 'input_linear', down: 'output_linear' },
    };
    return {
      dModel,
      nLayer,
      ...values.vocabulary({ vocabSize: 32_000, pad: null, bos: 1, eos: 2 }),
      normEps,
      names: { embedding: 'model.embed_tokens', layers: 'model.layers', normF: 'model.norm' },
      embeddingScale: values.positive('embedding_multiplier', 1),
      residualScale: values.positive('residual_multiplier', 1),
      logitsScale: 1 / values.positive('logits_scaling', 1),
      layers: types.map((type) => [mixers[type], mlp]),
    };
  },
});
