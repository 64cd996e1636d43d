// Builds the blocks of a hybrid from its configuration.
import {
  Embedding,
  GatedMLP,
  Linear,
  Mamba2Mixer,
  type Mixer,
  MLP,
  type Parameters,
  ResidualBlock,
  RMSNorm,
  SlidingWindowAttention,
} from '@rene-js/layers';
import { withPrefix } from '@rene-js/layers/internal';
import type { Backbone, Blueprint } from './blueprint.js';
import type { HybridBlock, HybridConfig } from './hybrid_config.js';
import { blockParameters, wholeTensor } from './hybrid_parameters.js';
import { attentionInput, layerScales } from './hybrid_scales.js';

export function hybridBlueprint(config: HybridConfig): Blueprint {
  const { dModel, paddedVocabSize, names, tieWordEmbeddings, logitsScale } = config;
  const embedding = withPrefix(
    `${names.embedding}.`,
    Embedding.parameters(paddedVocabSize, dModel),
  );
  const normF = withPrefix(`${names.normF}.`, RMSNorm.parameters(dModel));
  const head = tieWordEmbeddings
    ? []
    : withPrefix('lm_head.', Linear.parameters(dModel, paddedVocabSize, false));
  const scales = layerScales(config);
  const blocks = config.layers.flatMap((layer, i) =>
    layer.flatMap((block, k) => {
      const { norm: factor = 1, output = 1 } = scales[i]?.[k] ?? {};
      const [from, to] = [`${names.layers}.${i}.`, `layers.${i}.`];
      const norm = block.isParallel
        ? []
        : withPrefix(`${from}${block.norm}.`, RMSNorm.parameters(dModel));
      const mixer = blockParameters(
        block,
        { norm: factor, output },
        `${from}${block.name}.`,
        `${to}${block.name}.`,
      );
      return [
        {
          tensors: [...norm, ...mixer.tensors],
          parameters: [
            ...norm.map((spec) => wholeTensor(spec, `${to}${block.norm}.weight`, factor)),
            ...mixer.parameters,
          ],
        },
      ];
    }),
  );
  return {
    tensors: [...embedding, ...blocks.flatMap(({ tensors }) => tensors), ...normF, ...head],
    embedding: `${names.embedding}.weight`,
    parameters: [
      ...embedding.map((spec) => wholeTensor(spec, 'embedding.weight')),
      ...blocks.flatMap(({ parameters }) => parameters),
      ...normF.map((spec) => wholeTensor(spec, 'norm_f.weight', logitsScale)),
      ...head.map((spec) => wholeTensor(spec, 'lm_head.weight')),
    ],
    outline: {
      layers: config.layers.map((layer, i) => ({
        name: `layers.${i}`,
        kind: layer.map(kindName).join(', '),
        prefix: `${names.layers}.${i}.`,
      })),
      normF: { name: 'norm_f', kind: 'RMSNorm', prefix: `${names.normF}.` },
    },
    build: (parameters) => build(config, parameters),
    stateBytes: (tokens) =>
      config.layers.flat().reduce((sum, block) => sum + stateBytes(block, tokens), 0),
  };
}

function build(config: HybridConfig, parameters: Parameters): Backbone {
  const { tieWordEmbeddings, residualScale, embeddingScale, logitsScale, normEps } = config;
  const embedding = new Embedding(parameters.scope('embedding.'));
  const scales = layerScales(config);
  const first = scales[0]?.[0]?.stream ?? residualScale;
  const streamScales = [first];
  let stream = first;
  // The norms read the divided stream; see Backbone.
  const eps = () => normEps / stream ** 2;
  const layers = config.layers.map((layer, i) => {
    const scope = parameters.scope(`layers.${i}.`);
    let norm: RMSNorm | undefined;
    const blocks = layer.map((block, k) => {
      const own = scales[i]?.[k] ?? { norm: 1, stream };
      const factor = stream / own.stream;
      stream = own.stream;
      const shared = block.isParallel ? norm : undefined;
      norm = shared ?? new RMSNorm(scope.scope(`${block.norm}.`), eps());
      const mixer = buildMixer(block, own.norm, normEps, scope.scope(`${block.name}.`));
      return new ResidualBlock(norm, mixer, block.isParallel, factor);
    });
    streamScales.push(stream);
    return blocks;
  });
  return {
    embedding,
    streamScales,
    embeddingScale: embeddingScale / first,
    layers,
    normF: new RMSNorm(parameters.scope('norm_f.'), eps()),
    logitsScale,
    head: tieWordEmbeddings ? embedding.weight : parameters.matrix('lm_head.weight'),
    headBias: undefined,
  };
}

function buildMixer(
  block: HybridBlock,
  norm: number,
  normEps: number,
  parameters: Parameters,
): Mixer {
  switch (block.kind) {
    case 'ssd':
      return new Mamba2Mixer({ normEps, ...block.sizes }, parameters);
    case 'attn': {
      const softmaxScale = block.sizes.softmaxScale * attentionInput(block, norm) ** 2;
      return new SlidingWindowAttention({ ...block.sizes, softmaxScale }, parameters);
    }
    case 'mlp':
      return block.names.up === undefined
        ? new MLP(block.sizes, parameters)
        : new GatedMLP(block.sizes, parameters);
  }
}

function kindName(block: HybridBlock): string {
  if (block.kind === 'ssd') return 'Mamba2Mixer';
  if (block.kind === 'attn') return 'SlidingWindowAttention';
  return block.names.up === undefined ? 'MLP' : 'GatedMLP';
}

function stateBytes(block: HybridBlock, tokens: number): number {
  switch (block.kind) {
    case 'ssd': {
      const { dInner, dState, nGroups, dConv } = block.sizes;
      return 4 * (dInner * dState + (dInner + 2 * nGroups * dState) * dConv);
    }
    case 'attn': {
      const { numHeadsKv, headDim, window } = block.sizes;
      return 4 * 2 * numHeadsKv * headDim * Math.min(window ?? tokens, tokens);
    }
    case 'mlp':
      return 0;
  }
}
