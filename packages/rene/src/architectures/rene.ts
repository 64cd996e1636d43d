// Rene, and Mamba-2 models in the format of state-spaces: one mixer per block.
import {
  type AttentionConfig,
  Embedding,
  GatedMLP,
  type GatedMLPConfig,
  initializers,
  LayerNorm,
  Linear,
  type Mamba2Config,
  Mamba2Mixer,
  type Mixer,
  MLP,
  type Norm,
  type ParameterSpec,
  type Parameters,
  ResidualBlock,
  RMSNorm,
  SlidingWindowAttention,
} from '@rene-js/layers';
import { withPrefix } from '@rene-js/layers/internal';
import { type LayerKind, layerKinds, parseConfig, type ReneConfig } from '../config.js';
import { configToJson } from '../config_json.js';
import type { Architecture } from './architecture.js';
import type { Backbone, Blueprint } from './blueprint.js';
import type { ModelConfig } from './model_config.js';

/** A configuration without `model_type` has at least one of them. */
const OWN_KEYS = ['d_model', 'n_layer', 'vocab_size', 'ssm_cfg'];

export const rene: Architecture<ReneConfig> = {
  title: 'Rene',
  modelTypes: ['rene'],
  // Names in files of state-spaces, and in old files of Rene.
  recognises: (json) => !('model_type' in json) && OWN_KEYS.some((key) => key in json),
  parse: parseConfig,
  owns: (config: ModelConfig): config is ReneConfig => 'ssm' in config,
  toJson: configToJson,
  blueprint,
};

const KIND_NAMES: Readonly<Record<LayerKind, string>> = {
  ssd: 'Mamba2Mixer',
  attn: 'SlidingWindowAttention',
  mlp: 'MLP',
};

function blueprint(config: ReneConfig): Blueprint {
  return {
    tensors: modelTensors(config),
    embedding: 'backbone.embedding.weight',
    outline: {
      layers: layerKinds(config).map((kind, i) => ({
        name: `layers.${i}`,
        kind: kind === 'mlp' && config.mlp?.gated ? 'GatedMLP' : KIND_NAMES[kind],
        prefix: `backbone.layers.${i}.`,
      })),
      normF: {
        name: 'norm_f',
        kind: config.rmsNorm ? 'RMSNorm' : 'LayerNorm',
        prefix: 'backbone.norm_f.',
      },
    },
    build: (parameters) => buildBackbone(config, parameters),
    stateBytes: (tokens) => stateBytes(config, tokens),
  };
}

function stateBytes(config: ReneConfig, tokens: number): number {
  const { nLayer, ssm, attn, attnLayerIdx, mlpLayerIdx } = config;
  const ssdLayers = nLayer - attnLayerIdx.length - mlpLayerIdx.length;
  const conv = (ssm.dSsm + 2 * ssm.nGroups * ssm.dState) * ssm.dConv;
  const perToken = attn ? 2 * attn.numHeadsKv * attn.headDim : 0;
  const held = Math.min(attn?.slidingWindowLength ?? tokens, tokens);
  return 4 * (ssdLayers * (ssm.dSsm * ssm.dState + conv) + attnLayerIdx.length * perToken * held);
}

/**
 * Every parameter of the model, named as in the original's state_dict, with its shape and initial
 * distribution (as in the mamba repository: out_proj weights scaled by 1 / sqrt(nLayer), projection biases
 * zero).
 */
function modelTensors(config: ReneConfig): ParameterSpec[] {
  const { dModel, paddedVocabSize } = config;
  return [
    ...withPrefix('backbone.embedding.', Embedding.parameters(paddedVocabSize, dModel)),
    ...layerKinds(config).flatMap((kind, i) =>
      withPrefix(`backbone.layers.${i}.`, [
        ...withPrefix('norm.', normParameters(config)),
        ...withPrefix('mixer.', asInitialised(mixerParameters(config, kind), config.nLayer)),
      ]),
    ),
    ...withPrefix('backbone.norm_f.', normParameters(config)),
    ...(config.tieWordEmbeddings
      ? []
      : withPrefix('lm_head.', Linear.parameters(dModel, paddedVocabSize, config.lmHeadBias))),
  ];
}

/** Builds the layers from loaded parameters. */
function buildBackbone(config: ReneConfig, parameters: Parameters): Backbone {
  const backbone = parameters.scope('backbone.');
  const embedding = new Embedding(backbone.scope('embedding.'));
  const tied = config.tieWordEmbeddings;
  return {
    embedding,
    streamScales: Array(config.nLayer + 1).fill(1),
    embeddingScale: 1,
    logitsScale: 1,
    layers: layerKinds(config).map((kind, i) => {
      const layer = backbone.scope(`layers.${i}.`);
      const norm = buildNorm(config, layer.scope('norm.'));
      return [new ResidualBlock(norm, buildMixer(config, kind, layer.scope('mixer.')))];
    }),
    normF: buildNorm(config, backbone.scope('norm_f.')),
    head: tied ? embedding.weight : parameters.matrix('lm_head.weight'),
    headBias: tied ? undefined : parameters.optionalVector('lm_head.bias'),
  };
}

function normParameters({ rmsNorm, dModel }: ReneConfig): ParameterSpec[] {
  return rmsNorm ? RMSNorm.parameters(dModel) : LayerNorm.parameters(dModel);
}

function buildNorm({ rmsNorm, normEps }: ReneConfig, parameters: Parameters): Norm {
  return rmsNorm ? new RMSNorm(parameters, normEps) : new LayerNorm(parameters, normEps);
}

function mixerParameters(config: ReneConfig, kind: LayerKind): ParameterSpec[] {
  switch (kind) {
    case 'ssd':
      return Mamba2Mixer.parameters(ssmConfig(config));
    case 'attn':
      return SlidingWindowAttention.parameters(attentionConfig(config));
    case 'mlp':
      return config.mlp?.gated
        ? GatedMLP.parameters(mlpConfig(config))
        : MLP.parameters(mlpConfig(config));
  }
}

function buildMixer(config: ReneConfig, kind: LayerKind, parameters: Parameters): Mixer {
  switch (kind) {
    case 'ssd':
      return new Mamba2Mixer(ssmConfig(config), parameters);
    case 'attn':
      return new SlidingWindowAttention(attentionConfig(config), parameters);
    case 'mlp':
      return config.mlp?.gated
        ? new GatedMLP(mlpConfig(config), parameters)
        : new MLP(mlpConfig(config), parameters);
  }
}

function ssmConfig({ dModel, ssm }: ReneConfig): Mamba2Config {
  return { dModel, ...ssm };
}

function attentionConfig({ dModel, attn }: ReneConfig): AttentionConfig {
  if (!attn) throw new Error('the configuration has attention blocks but no attn section');
  return { dModel, ...attn, window: attn.slidingWindowLength };
}

function mlpConfig({ dModel, mlp }: ReneConfig): GatedMLPConfig {
  if (!mlp) throw new Error('the configuration has MLP blocks but no mlp section');
  return { dModel, ...mlp };
}

/** The mamba repository's rescaling of a mixer's initial values. */
function asInitialised(specs: ParameterSpec[], nLayer: number): ParameterSpec[] {
  return specs.map((spec) => {
    if (spec.name === 'out_proj.weight') {
      const fanIn = spec.shape[1] ?? 1;
      return { ...spec, init: initializers.uniform(1 / Math.sqrt(fanIn * nLayer)) };
    }
    return spec.name.endsWith('proj.bias') ? { ...spec, init: initializers.zeros } : spec;
  });
}
