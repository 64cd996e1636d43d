// Bamba: each layer is Mamba-2 or attention with rotary positions, then an MLP.
import { hybridArchitecture } from './hybrid_architecture.js';
import type { HybridBlock } from './hybrid_config.js';
import { attentionSizes, mambaSizes } from './mamba_values.js';
import { ropeFrequencies } from './rope.js';

export const bamba = hybridArchitecture({
  title: 'Bamba (bamba)',
  modelTypes: ['bamba'],
  read(values) {
    const dModel = values.size('hidden_size', 4096);
    const nLayer = values.size('num_hidden_layers', 32);
    values.oneOf('hidden_act', ['silu'], 'silu');
    const indices = values.value('attn_layer_indices') ?? [];
    const isIndex = (i: unknown) =>
      typeof i === 'number' && Number.isInteger(i) && i >= 0 && i < nLayer;
    if (!Array.isArray(indices) || !indices.every(isIndex)) {
      throw values.error('attn_layer_indices', `a list of layers from 0 to ${nLayer - 1}`);
    }
    const attention = attentionSizes(
      values,
      dModel,
      values.json.num_key_value_heads === undefined ? 8 : undefined,
    );
    const mamba = mambaSizes(values, dModel, { heads: 128, dState: 256 });
    const mambaBias = values.flag('mamba_proj_bias', false);
    const attentionBlock: HybridBlock = {
      kind: 'attn',
      norm: 'input_layernorm',
      name: 'self_attn',
      sizes: { ...attention, rotaryFrequencies: ropeFrequencies(values, attention.headDim, 0.5) },
      bias: values.flag('attention_bias', false),
    };
    const mambaBlock: HybridBlock = {
      kind: 'ssd',
      norm: 'input_layernorm',
      name: 'mamba',
      // The norm spans all channels, for any number of groups.
      sizes: { ...mamba, normGroupSize: mamba.dInner },
      inProjBias: mambaBias,
      outProjBias: mambaBias,
    };
    const mlp: HybridBlock = {
      kind: 'mlp',
      norm: 'pre_ff_layernorm',
      name: 'feed_forward',
      sizes: {
        dModel,
        dInner: values.size('intermediate_size', 14_336),
        bias: values.flag('mlp_bias', false),
        activation: 'silu',
      },
      names: { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' },
    };
    return {
      dModel,
      nLayer,
      ...values.vocabulary({ vocabSize: 128_000, pad: 0, bos: 1, eos: 2 }),
      normEps: values.positive('rms_norm_eps', 1e-5),
      names: {
        embedding: 'model.embed_tokens',
        layers: 'model.layers',
        normF: 'model.final_layernorm',
      },
      embeddingScale: 1,
      residualScale: 1,
      logitsScale: 1,
      layers: Array.from({ length: nLayer }, (_, i) => [
        indices.includes(i) ? attentionBlock : mambaBlock,
        mlp,
      ]),
    };
  },
});
