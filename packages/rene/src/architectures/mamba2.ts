// Mamba-2 without attention in the transformers library's format, such as Codestral Mamba. rene.ts reads the
// format of state-spaces; both have the same configuration.
import { hybridArchitecture } from './hybrid_architecture.js';
import type { HybridBlock } from './hybrid_config.js';

export const mamba2 = hybridArchitecture({
  title: 'Mamba-2 (mamba2)',
  modelTypes: ['mamba2'],
  read(values) {
    const dModel = values.size('hidden_size', 4096);
    const nLayer = values.size('num_hidden_layers', 64);
    const normEps = values.positive('layer_norm_epsilon', 1e-5);
    const headDim = values.size('head_dim', 64);
    const heads = values.size('num_heads', 128);
    const dInner = Math.trunc(values.positive('expand', 2) * dModel);
    if (heads * headDim !== dInner) {
      throw values.error(
        'num_heads',
        `expand * hidden_size (${dInner}) over head_dim (${headDim})`,
        `${heads}`,
      );
    }
    const nGroups = values.size('n_groups', 8);
    values.checkDivides('n_groups', nGroups, heads, 'num_heads');
    values.oneOf('hidden_act', ['silu'], 'silu');
    const bias = values.flag('use_bias', false);
    const block: HybridBlock = {
      kind: 'ssd',
      norm: 'norm',
      name: 'mixer',
      sizes: {
        dModel,
        dInner,
        headDim,
        nGroups,
        // The norm spans all channels, for any number of groups.
        normGroupSize: dInner,
        dState: values.size('state_size', 128),
        dConv: values.size('conv_kernel', 4),
        chunkSize: values.size('chunk_size', 256),
        convBias: values.flag('use_conv_bias', true),
        dtLimit: values.timeStepLimit('time_step_limit'),
      },
      inProjBias: bias,
      outProjBias: bias,
    };
    return {
      dModel,
      nLayer,
      ...values.vocabulary({ vocabSize: 32_768, pad: 1, bos: 0, eos: 2 }),
      normEps,
      names: {
        embedding: 'backbone.embeddings',
        layers: 'backbone.layers',
        normF: 'backbone.norm_f',
      },
      embeddingScale: 1,
      residualScale: 1,
      logitsScale: 1,
      layers: Array.from({ length: nLayer }, () => [block]),
    };
  },
});
