// The configuration of a Rene model: sizes and options, read from config.json.
import type { ModelConfig } from './architectures/model_config.js';
import { type ConfigSource, configSource } from './config_source.js';

/** The Mamba-2 mixers. Every size counts channels, heads or tokens. */
export interface SsmConfig {
  /** State size per channel, N. */
  readonly dState: number;
  /** Width of the causal convolution. */
  readonly dConv: number;
  /** dInner / dModel; may be fractional. */
  readonly expand: number;
  readonly headDim: number;
  /** Channels of the scan; the rest of dInner is a gated MLP. */
  readonly dSsm: number;
  readonly dInner: number;
  /** Groups of heads that share B and C. */
  readonly nGroups: number;
  readonly chunkSize: number;
  /** Biases on in_proj and out_proj. */
  readonly bias: boolean;
  readonly convBias: boolean;
  /** Whether the scan's output has an RMS norm. */
  readonly rmsNorm: boolean;
  readonly normBeforeGate: boolean;
  /** Whether D has a value per channel, not per head. */
  readonly dHasHdim: boolean;
  /** dt is clamped to [min, max] after softplus. */
  readonly dtLimit: readonly [min: number, max: number];
  /** Range of dt and A in a new model. */
  readonly dtMin: number;
  readonly dtMax: number;
  readonly dtInitFloor: number;
  readonly aInitRange: readonly [min: number, max: number];
}

/** The attention blocks. */
export interface AttnConfig {
  readonly numHeads: number;
  /** Fewer than numHeads for grouped-query attention, 1 for multi-query. */
  readonly numHeadsKv: number;
  readonly headDim: number;
  readonly qkvProjBias: boolean;
  readonly outProjBias: boolean;
  /** Number of keys that a token attends to, itself included; null for no limit. */
  readonly slidingWindowLength: number | null;
  /** Default: null, 1 / sqrt(headDim). */
  readonly softmaxScale: number | null;
}

/** The MLP blocks. */
export interface MlpConfig {
  readonly dInner: number;
  readonly bias: boolean;
  /** activation(in_proj x) * gate_proj(x) rather than activation(in_proj x). */
  readonly gated: boolean;
  /** RMS norm over dInner before out_proj. */
  readonly norm: boolean;
  readonly activation: 'gelu' | 'silu';
}

/** A model's sizes and options, as plain data. Made by parseConfig, readConfig or reneConfig. */
export interface ReneConfig extends ModelConfig {
  /** vocabSize rounded up to a multiple of padVocabSizeMultiple: rows of the embedding and of the head. */
  readonly paddedVocabSize: number;
  readonly ssm: SsmConfig;
  readonly attnLayerIdx: readonly number[];
  /** null without attention blocks. */
  readonly attn: AttnConfig | null;
  readonly mlpLayerIdx: readonly number[];
  /** null without MLP blocks. */
  readonly mlp: MlpConfig | null;
  /** RMSNorm before each block and at the end; LayerNorm if false. */
  readonly rmsNorm: boolean;
  readonly normEps: number;
  readonly residualInFp32: boolean;
  readonly padVocabSizeMultiple: number;
}

/** Options of reneConfig: ReneConfig's fields except the derived ones. */
export type ReneConfigOptions = Partial<
  Omit<ReneConfig, 'paddedVocabSize' | 'eosTokenId' | 'eosTokenIds' | 'ssm' | 'attn' | 'mlp'> & {
    /** One or several end-of-text tokens. */
    eosTokenId: number | readonly number[] | null;
    ssm: Partial<Omit<SsmConfig, 'dInner'>>;
    attn: Partial<AttnConfig> | null;
    mlp: Partial<MlpConfig & { expand: number }> | null;
  }
>;

/** The kind of a block. */
export type LayerKind = 'ssd' | 'attn' | 'mlp';

/**
 * Makes a configuration from some fields. Defaults: those of `ReneConfig` and `Mamba2` in Python, without
 * attention and MLP blocks unless their indices are given.
 *
 * @throws ConfigError with the field, the expected and the actual value
 */
export function reneConfig(options: ReneConfigOptions = {}): ReneConfig {
  return buildConfig(configSource(options, 'options'));
}

/**
 * Makes a configuration from parsed JSON: Rene's config.json, or that of state-spaces' mamba2 checkpoints.
 *
 * @param where named in errors, such as the file's path
 * @throws ConfigError with the key, the expected and the actual value
 */
export function parseConfig(json: unknown, where?: string): ReneConfig {
  const source = configSource(json, 'file', where);
  const modelType = source.optionalText('modelType');
  if (modelType !== undefined && modelType !== 'rene') {
    throw source.error(
      'modelType',
      "'rene' (AutoModelForCausalLM loads other architectures)",
      modelType,
    );
  }
  return buildConfig(source);
}

/** The kind of every block, in order. */
export function layerKinds(config: ReneConfig): LayerKind[] {
  const kinds = new Array<LayerKind>(config.nLayer).fill('ssd');
  for (const i of config.attnLayerIdx) kinds[i] = 'attn';
  for (const i of config.mlpLayerIdx) kinds[i] = 'mlp';
  return kinds;
}

/** Upper bound of sizes; larger values are mistakes. */
const MAX_SIZE = 1 << 24;
const MAX_LAYERS = 10_000;

/** Checks every value of a source and applies the originals' defaults. @throws ConfigError */
export function buildConfig(source: ConfigSource): ReneConfig {
  const stateSpaces = source.isStateSpaces;
  const dModel = source.size('dModel', stateSpaces ? 2560 : 2048, MAX_SIZE);
  const nLayer = source.size('nLayer', stateSpaces ? 64 : 48, MAX_LAYERS);
  const vocabSize = source.size('vocabSize', stateSpaces ? 50277 : 50280, MAX_SIZE);
  const padVocabSizeMultiple = source.size('padVocabSizeMultiple', stateSpaces ? 8 : 16, MAX_SIZE);
  if (source.count('dIntermediate', 0) !== 0) {
    throw source.error('dIntermediate', '0 (an MLP inside each block is not supported)');
  }
  const attnLayerIdx = source.indices('attnLayerIdx', nLayer);
  const mlpLayerIdx = source.indices('mlpLayerIdx', nLayer);
  const both = attnLayerIdx.find((i) => mlpLayerIdx.includes(i));
  if (both !== undefined) {
    throw source.error('mlpLayerIdx', `no block of ${source.key('attnLayerIdx')}`, `${both}`);
  }
  const eosTokenIds = source.tokenIds('eosTokenId', stateSpaces ? 0 : 50279, vocabSize);
  const eosTokenId = eosTokenIds[0] ?? null;
  return {
    dModel,
    nLayer,
    vocabSize,
    paddedVocabSize: Math.ceil(vocabSize / padVocabSizeMultiple) * padVocabSizeMultiple,
    ssm: buildSsm(source.section('ssm'), dModel, stateSpaces),
    attnLayerIdx,
    attn: attnLayerIdx.length > 0 ? buildAttn(source.section('attn'), dModel) : null,
    mlpLayerIdx,
    mlp: mlpLayerIdx.length > 0 ? buildMlp(source.section('mlp'), dModel) : null,
    rmsNorm: source.flag('rmsNorm', true),
    normEps: source.positive('normEps', 1e-5),
    residualInFp32: source.flag('residualInFp32', true),
    padVocabSizeMultiple,
    tieWordEmbeddings: source.flag('tieWordEmbeddings', true),
    lmHeadBias: source.flag('lmHeadBias', false),
    padTokenId: source.tokenId('padTokenId', 1, vocabSize) ?? eosTokenId ?? 0,
    bosTokenId: source.tokenId('bosTokenId', null, vocabSize),
    eosTokenId,
    eosTokenIds,
  };
}

function buildSsm(source: ConfigSource, dModel: number, stateSpaces: boolean): SsmConfig {
  source.refuseUnknownKeys();
  // In state-spaces' code, a missing `layer` means Mamba1.
  const layer = source.optionalText('layer') ?? (stateSpaces ? 'Mamba1' : 'Mamba2');
  if (layer !== 'Mamba2') {
    throw source.error('layer', "'Mamba2' (other state-space layers are not supported)", layer);
  }
  const expand = source.positive('expand', 2);
  const dInner = expand * dModel;
  if (!Number.isInteger(dInner) || dInner > MAX_SIZE) {
    throw source.error('expand', `a multiple of 1 / d_model (${dModel})`, `${expand}`);
  }
  if (source.has('dInner') && source.size('dInner', dInner, MAX_SIZE) !== dInner) {
    throw source.error('dInner', `expand times d_model (${dInner})`);
  }
  const headDim = source.size('headDim', 64, MAX_SIZE);
  const dSsm = source.size('dSsm', dInner, dInner);
  if (dSsm % headDim !== 0) {
    throw source.error('headDim', `a divisor of d_ssm (${dSsm})`, `${headDim}`);
  }
  const nHeads = dSsm / headDim;
  const nGroups = source.size('nGroups', 1, MAX_SIZE);
  if (nHeads % nGroups !== 0) {
    throw source.error('nGroups', `a divisor of the ${nHeads} heads`, `${nGroups}`);
  }
  return {
    dState: source.size('dState', 128, MAX_SIZE),
    dConv: source.size('dConv', 4, 1024),
    expand,
    headDim,
    dSsm,
    dInner,
    nGroups,
    chunkSize: source.size('chunkSize', 256, MAX_SIZE),
    bias: source.flag('bias', false),
    convBias: source.flag('convBias', true),
    rmsNorm: source.flag('rmsNorm', true),
    normBeforeGate: source.flag('normBeforeGate', false),
    dHasHdim: source.flag('dHasHdim', false),
    dtLimit: source.range('dtLimit', [0, Number.POSITIVE_INFINITY], 0),
    dtMin: source.positive('dtMin', 0.001),
    dtMax: source.positive('dtMax', 0.1),
    dtInitFloor: source.positive('dtInitFloor', 1e-4),
    aInitRange: source.range('aInitRange', [1, 16], Number.MIN_VALUE),
  };
}

function buildAttn(source: ConfigSource, dModel: number): AttnConfig {
  source.refuseUnknownKeys();
  if (!source.flag('causal', true)) {
    throw source.error('causal', 'true (attention to later tokens is not supported)', 'false');
  }
  for (const unsupported of ['rotaryEmbDim', 'dConv', 'mlpDim']) {
    if (source.count(unsupported, 0) !== 0) throw source.error(unsupported, '0 (not supported)');
  }
  const numHeads = source.size('numHeads', undefined, MAX_SIZE);
  const numHeadsKv = source.size('numHeadsKv', numHeads, MAX_SIZE);
  if (numHeads % numHeadsKv !== 0) {
    throw source.error('numHeadsKv', `a divisor of the ${numHeads} heads`, `${numHeadsKv}`);
  }
  if (!source.has('headDim') && dModel % numHeads !== 0) {
    throw source.error('numHeads', `a divisor of d_model (${dModel})`, `${numHeads}`);
  }
  return {
    numHeads,
    numHeadsKv,
    headDim: source.size('headDim', dModel / numHeads, MAX_SIZE),
    qkvProjBias: source.flag('qkvProjBias', true),
    outProjBias: source.flag('outProjBias', true),
    slidingWindowLength: source.has('slidingWindowLength')
      ? source.size('slidingWindowLength', undefined, Number.MAX_SAFE_INTEGER)
      : null,
    softmaxScale: source.has('softmaxScale') ? source.positive('softmaxScale', 1) : null,
  };
}

function buildMlp(source: ConfigSource, dModel: number): MlpConfig {
  source.refuseUnknownKeys();
  const gated = source.flag('gated', false);
  const activation = source.optionalText('activation') ?? (gated ? 'silu' : 'gelu');
  if (activation !== 'gelu' && activation !== 'silu') {
    throw source.error('activation', "'gelu' or 'silu'", activation);
  }
  const rounded = roundHalfEven(source.positive('expand', 3) * dModel);
  if (rounded < 1 || rounded > MAX_SIZE) {
    throw source.error('expand', `d_model (${dModel}) times it to be from 1 to ${MAX_SIZE}`);
  }
  return {
    dInner: source.size('dInner', rounded, MAX_SIZE),
    bias: source.flag('bias', true),
    gated,
    norm: source.flag('norm', false),
    activation,
  };
}

/** Python's round(). */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

const PATTERN: readonly LayerKind[] = [
  ...(['ssd', 'ssd', 'mlp', 'ssd', 'ssd', 'mlp'] as const),
  ...(['attn', 'ssd', 'mlp', 'ssd', 'ssd', 'mlp'] as const),
];

/** Indices of one kind of block: Rene's pattern of twelve, repeated. */
function patternIndices(kind: LayerKind, nLayer: number): number[] {
  const all = Array.from({ length: nLayer }, (_, i) => i);
  return all.filter((i) => PATTERN[i % PATTERN.length] === kind);
}

/** The 1.3 B model: 48 blocks, d_model 2048, vocabulary 50280. For benchmarks with random weights. */
export const reneConfig1_3B: ReneConfig = reneConfig({
  attnLayerIdx: patternIndices('attn', 48),
  attn: { numHeads: 32, headDim: 64, slidingWindowLength: 2048 },
  mlpLayerIdx: patternIndices('mlp', 48),
});
