// Rene and Granite 4.0-H as models of llama.cpp. Sizes are exact; weights are random.
import type { ModelConfig, ReneConfig } from '@rene-js/rene';
import type { HybridConfig } from '@rene-js/rene/internal';
import {
  type GgufMetadata,
  type GgufModel,
  type GgufTensor,
  ggufMatrix as matrix,
  metadatum,
  unusedTokenizer,
  ggufVector as vector,
} from './gguf.js';

const { text, count, counts, real, flag } = metadatum;
const one = () => 1;

/** @throws Error for other architectures */
export function ggufModel(config: ModelConfig): GgufModel {
  if (isRene(config)) return reneModel(config);
  if (isHybrid(config) && config.modelType === 'granitemoehybrid') return graniteModel(config);
  throw new Error('expected a configuration of Rene or of Granite 4.0-H');
}

function isRene(config: ModelConfig): config is ReneConfig {
  return 'ssm' in config;
}

function isHybrid(config: ModelConfig): config is HybridConfig {
  return 'modelType' in config;
}

/**
 * Rene as nemotron_h, which has the same blocks: Mamba-2, attention (without positions), MLP. The MLP's
 * activation differs (squared ReLU), which costs no memory and almost no time.
 */
function reneModel(config: ReneConfig): GgufModel {
  const { dModel, nLayer, ssm, attn, mlp, attnLayerIdx, mlpLayerIdx } = config;
  const layers = Array.from({ length: nLayer }, (_, i) => i);
  const heads = attn?.numHeads ?? 1;
  const headsKv = attn?.numHeadsKv ?? heads;
  const headDim = attn?.headDim ?? 1;
  const own = 'nemotron_h.';
  return {
    metadata: [
      text('general.architecture', 'nemotron_h'),
      text('general.name', 'Rene, random weights'),
      // llama.cpp infers the kind of a block from these two: keys and values, an MLP, or neither (Mamba-2).
      counts(
        `${own}feed_forward_length`,
        layers.map((i) => (mlpLayerIdx.includes(i) ? (mlp?.dInner ?? 0) : 0)),
      ),
      counts(
        `${own}attention.head_count_kv`,
        layers.map((i) => (attnLayerIdx.includes(i) ? headsKv : 0)),
      ),
      real(`${own}attention.layer_norm_epsilon`, config.normEps),
      ...commonMetadata(own, config, { heads, headDim, normEps: config.normEps }),
      ...mambaMetadata(own, { ...ssm, dInner: ssm.dSsm }),
    ],
    tensors: [
      ...commonTensors(config),
      ...layers.flatMap((i): GgufTensor[] => {
        const p = `blk.${i}.`;
        const norm = vector(`${p}attn_norm.weight`, [dModel], one);
        if (attnLayerIdx.includes(i)) {
          return [norm, ...attentionTensors(p, dModel, heads * headDim, headsKv * headDim)];
        }
        if (mlp && mlpLayerIdx.includes(i)) {
          return [
            norm,
            matrix(`${p}ffn_up.weight`, dModel, mlp.dInner),
            matrix(`${p}ffn_down.weight`, mlp.dInner, dModel),
          ];
        }
        return [norm, ...mambaTensors(p, dModel, { ...ssm, dInner: ssm.dSsm })];
      }),
    ],
  };
}

/** Granite 4.0-H as granitehybrid: each layer is Mamba-2 or attention, then an MLP. */
function graniteModel(config: HybridConfig): GgufModel {
  const { dModel, normEps, embeddingScale, residualScale, logitsScale, layers } = config;
  const blocks = layers.flat();
  const attention = blocks.find((block) => block.kind === 'attn');
  const mamba = blocks.find((block) => block.kind === 'ssd');
  const mlp = blocks.find((block) => block.kind === 'mlp');
  if (!attention || !mamba || !mlp) throw new Error('expected Mamba-2, attention and an MLP');
  const { numHeads, numHeadsKv, headDim, softmaxScale, rotaryFrequencies } = attention.sizes;
  const { dInner: width } = mlp.sizes;
  const isAttention = layers.map((layer) => layer.some(({ kind }) => kind === 'attn'));
  const own = 'granitehybrid.';
  return {
    metadata: [
      text('general.architecture', 'granitehybrid'),
      text('general.name', 'Granite 4.0-H, random weights'),
      count(`${own}feed_forward_length`, width),
      counts(
        `${own}attention.head_count_kv`,
        isAttention.map((is) => (is ? numHeadsKv : 0)),
      ),
      flag(`${own}rope.scaling.finetuned`, rotaryFrequencies != null),
      real(`${own}attention.scale`, softmaxScale),
      real(`${own}embedding_scale`, embeddingScale),
      real(`${own}residual_scale`, residualScale),
      real(`${own}logit_scale`, 1 / logitsScale),
      ...commonMetadata(own, config, { heads: numHeads, headDim, normEps }),
      ...mambaMetadata(own, mamba.sizes),
    ],
    tensors: [
      ...commonTensors(config),
      ...isAttention.flatMap((is, i): GgufTensor[] => {
        const p = `blk.${i}.`;
        return [
          vector(`${p}attn_norm.weight`, [dModel], one),
          ...(is
            ? attentionTensors(p, dModel, numHeads * headDim, numHeadsKv * headDim)
            : mambaTensors(p, dModel, mamba.sizes)),
          vector(`${p}ffn_norm.weight`, [dModel], one),
          matrix(`${p}ffn_gate.weight`, dModel, width),
          matrix(`${p}ffn_up.weight`, dModel, width),
          matrix(`${p}ffn_down.weight`, width, dModel),
        ];
      }),
    ],
  };
}

function commonMetadata(
  own: string,
  { nLayer, dModel, paddedVocabSize }: ModelConfig,
  attention: { heads: number; headDim: number; normEps: number },
): GgufMetadata[] {
  return [
    count(`${own}block_count`, nLayer),
    count(`${own}context_length`, 1 << 16),
    count(`${own}embedding_length`, dModel),
    count(`${own}vocab_size`, paddedVocabSize),
    count(`${own}attention.head_count`, attention.heads),
    count(`${own}attention.key_length`, attention.headDim),
    count(`${own}attention.value_length`, attention.headDim),
    real(`${own}attention.layer_norm_rms_epsilon`, attention.normEps),
    ...unusedTokenizer(paddedVocabSize),
  ];
}

function commonTensors({ dModel, paddedVocabSize, tieWordEmbeddings }: ModelConfig): GgufTensor[] {
  return [
    matrix('token_embd.weight', dModel, paddedVocabSize),
    vector('output_norm.weight', [dModel], one),
    ...(tieWordEmbeddings ? [] : [matrix('output.weight', dModel, paddedVocabSize)]),
  ];
}

function attentionTensors(p: string, dModel: number, width: number, kvWidth: number): GgufTensor[] {
  return [
    matrix(`${p}attn_q.weight`, dModel, width),
    matrix(`${p}attn_k.weight`, dModel, kvWidth),
    matrix(`${p}attn_v.weight`, dModel, kvWidth),
    matrix(`${p}attn_output.weight`, width, dModel),
  ];
}

interface MambaSizes {
  readonly dInner: number;
  readonly headDim: number;
  readonly dState: number;
  readonly nGroups: number;
  readonly dConv: number;
}

function mambaMetadata(own: string, sizes: MambaSizes): GgufMetadata[] {
  const { dInner, headDim, dState, nGroups, dConv } = sizes;
  return [
    count(`${own}ssm.conv_kernel`, dConv),
    count(`${own}ssm.inner_size`, dInner),
    count(`${own}ssm.state_size`, dState),
    count(`${own}ssm.group_count`, nGroups),
    count(`${own}ssm.time_step_rank`, dInner / headDim), // its heads
  ];
}

function mambaTensors(p: string, dModel: number, sizes: MambaSizes): GgufTensor[] {
  const { dInner, headDim, dState, nGroups, dConv } = sizes;
  const heads = dInner / headDim;
  const convDim = dInner + 2 * nGroups * dState;
  return [
    matrix(`${p}ssm_in.weight`, dModel, dInner + convDim + heads),
    vector(`${p}ssm_conv1d.weight`, [dConv, convDim], (k) => Math.sin(k) / 2),
    vector(`${p}ssm_conv1d.bias`, [convDim], () => 0),
    // softplus(-4) is 0.018, within Mamba-2's usual 0.001 to 0.1; A from -1 to -16.
    vector(`${p}ssm_dt.bias`, [heads], () => -4),
    vector(`${p}ssm_a`, [1, heads], (h) => -1 - (15 * h) / heads),
    vector(`${p}ssm_d`, [1, heads], one),
    vector(`${p}ssm_norm.weight`, [dInner / nGroups, nGroups], one),
    matrix(`${p}ssm_out.weight`, dInner, dModel),
  ];
}
