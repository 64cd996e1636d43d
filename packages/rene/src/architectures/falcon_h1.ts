// Falcon-H1: each layer is Mamba-2 and attention in parallel, then an MLP; with muP multipliers.
import { hybridArchitecture } from './hybrid_architecture.js';
import type { HybridBlock } from './hybrid_config.js';
import { attentionSizes, mambaSizes } from './mamba_values.js';
import { ropeFrequencies } from './rope.js';

export const falconH1 = hybridArchitecture({
  title: 'Falcon-H1 (falcon_h1)',
  modelTypes: ['falcon_h1'],
  read(values) {
    const dModel = values.size('hidden_size', 4096);
    const nLayer = values.size('num_hidden_layers', 32);
    values.oneOf('hidden_act', ['silu'], 'silu');
    const multiplier = (key: string) => values.positive(key, 1);
    const [gateScale = 1, downScale = 1] = values.multipliers('mlp_multipliers', 2);
    // null means all inner channels. The original's default is 1024.
    const own = values.json.mamba_d_ssm === undefined ? { dInner: 1024 } : {};
    const mamba = mambaSizes(values, dModel, { heads: 128, dState: 256, ...own });
    const attention = attentionSizes(
      values,
      dModel,
      values.json.num_key_value_heads === undefined ? 8 : undefined,
    );
    const layer: HybridBlock[] = [
      {
        kind: 'ssd',
        norm: 'input_layernorm',
        name: 'mamba',
        sizes: {
          ...mamba,
          rmsNorm: values.flag('mamba_rms_norm', false),
          normBeforeGate: values.flag('mamba_norm_before_gate', true),
        },
        inProjBias: values.flag('mamba_proj_bias', false),
        outProjBias: values.flag('projectors_bias', false),
        inScale: multiplier('ssm_in_multiplier'),
        sectionScales: values.multipliers('ssm_multipliers', 5),
        outScale: multiplier('ssm_out_multiplier'),
      },
      {
        kind: 'attn',
        norm: 'input_layernorm',
        name: 'self_attn',
        isParallel: true,
        sizes: {
          ...attention,
          softmaxScale: attention.softmaxScale * multiplier('key_multiplier'),
          rotaryFrequencies: ropeFrequencies(values, attention.headDim),
        },
        bias: values.flag('attention_bias', false),
        inScale: multiplier('attention_in_multiplier'),
        outScale: multiplier('attention_out_multiplier'),
      },
      {
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
        gateScale,
        outScale: downScale,
      },
    ];
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
      embeddingScale: multiplier('embedding_multiplier'),
      residualScale: 1,
      logitsScale: multiplier('lm_head_multiplier'),
      layers: Array.from({ length: nLayer }, () => layer),
    };
  },
});
