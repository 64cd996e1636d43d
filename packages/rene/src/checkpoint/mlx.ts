// Checkpoints of cartesia-mlx: configuration in the metadata, different tensor names and layouts.

import { buildConfig, type ReneConfig } from '../config.js';
import { configSource } from '../config_source.js';
import { CheckpointError, ConfigError } from '../errors.js';
import { asRecord, parseJson, shortJson } from '../json.js';
import type { Checkpoint } from './checkpoint.js';
import { parseSection, type QuantizationPlan } from './quantization.js';

type Section = Readonly<Record<string, unknown>>;

/** Whether a file's metadata is a configuration of cartesia-mlx. */
export function isMlx(metadata: ReadonlyMap<string, string>): boolean {
  return metadata.has('_class_');
}

/** How the quantised values of an MLX checkpoint are packed; undefined if it is not quantised. */
export function mlxQuantization(
  metadata: ReadonlyMap<string, string>,
  where: string,
): QuantizationPlan | undefined {
  const values = asRecord(nested(metadata, where).quantization_kwargs);
  return values && parseSection(values, 'quantization_kwargs', where);
}

/**
 * The configuration in the metadata of a cartesia-mlx checkpoint (its Rene and Mamba-2 families), with that
 * package's defaults for missing values.
 *
 * @throws ConfigError with the key, the expected and the actual value
 */
export function parseMlxConfig(metadata: ReadonlyMap<string, string>, where: string): ReneConfig {
  const root = nested(metadata, where);
  const model = asRecord(root.model) ?? {};
  const pattern = Object.values(asRecord(model.unique_layers) ?? {}).map((block) =>
    readBlock(asRecord(block) ?? {}, where),
  );
  const repeats = model.n_layer_repeats ?? 1;
  if (pattern.length === 0 || typeof repeats !== 'number' || !(repeats >= 1 && repeats <= 10_000)) {
    throw new ConfigError('model.unique_layers', 'layers, repeated', shortJson(repeats), where);
  }
  expectOnly(model, 'model', 'post_norm', true, where);
  expectOnly(model, 'model', 'final_proj', false, where);
  const blocks = Array.from({ length: repeats }, () => pattern).flat();
  const dModel = root.d_model ?? 2048;
  const indices = (kind: Kind) => blocks.flatMap((block, i) => (block.kind === kind ? [i] : []));
  const values = {
    dModel,
    nLayer: blocks.length,
    vocabSize: root.n_tokens ?? 50288,
    padVocabSizeMultiple: 1,
    ssm: ssmValues(sameConfig(blocks, 'ssd', where), where),
    attnLayerIdx: indices('attn'),
    attn: attnValues(sameConfig(blocks, 'attn', where), dModel, where),
    mlpLayerIdx: indices('mlp'),
    mlp: mlpValues(sameConfig(blocks, 'mlp', where)),
    tieWordEmbeddings: false,
    lmHeadBias: asRecord(root.head)?.bias ?? true,
    eosTokenId: root.eos ?? 50279,
  };
  return buildConfig(configSource(values, 'options', where));
}

type Kind = 'ssd' | 'attn' | 'mlp';

interface Block {
  kind: Kind;
  /** The layer's values override its class's defaults. */
  layer: Section;
}

const LAYERS: Readonly<Record<string, { kind: Kind; defaults: Section }>> = {
  SSD: {
    kind: 'ssd',
    defaults: { expand: 2, kernel_size: 4, d_state: 64, d_head: 64, n_groups: 1, bias: false },
  },
  SelfAttention: {
    kind: 'attn',
    defaults: { d_head: 64, kv_heads: 1, expand: null, bias: false, max_context_len: 4096 },
  },
  FFN: {
    kind: 'mlp',
    defaults: { expand: 4, activation: 'swish', glu: false, bias: false, norm: false },
  },
  SwiGLU: {
    kind: 'mlp',
    defaults: { expand: 2, activation: 'swish', glu: true, bias: false, norm: true },
  },
};

function readBlock(block: Section, where: string): Block {
  expectOnly(block, 'model.unique_layers', 'norm_point', 'pre', where);
  const layer = asRecord(block.layer) ?? {};
  const name = String(layer._class_).split('.').pop() ?? '';
  const known = Object.hasOwn(LAYERS, name) ? LAYERS[name] : undefined;
  if (!known) {
    throw new ConfigError('_class_', `a layer of ${Object.keys(LAYERS).join(', ')}`, name, where);
  }
  const { kind, defaults } = known;
  // Fields about the whole model, not this layer.
  const { quantization_kwargs: _, d_model: __, ...own } = layer;
  return { kind, layer: { ...defaults, ...own } };
}

/** The values common to all blocks of a kind; a ReneConfig has one value for all. */
function sameConfig(blocks: readonly Block[], kind: Kind, where: string): Section | undefined {
  const layers = blocks.filter((block) => block.kind === kind).map(({ layer }) => layer);
  const [first, ...others] = layers;
  if (others.every((layer) => JSON.stringify(layer) === JSON.stringify(first))) return first;
  throw new ConfigError('model.unique_layers', `identical ${kind} layers`, 'different ones', where);
}

function ssmValues(layer: Section | undefined, where: string): Section {
  if (!layer) return {};
  // MLX's norm covers all channels; this model's has groups.
  expectOnly(layer, 'layer', 'n_groups', 1, where);
  return {
    dState: layer.d_state,
    dConv: layer.kernel_size,
    expand: layer.expand,
    headDim: layer.d_head,
    normBeforeGate: layer.norm_before_gate,
    dtLimit: listOf(layer.dt_limit),
    bias: layer.bias,
    convBias: true,
  };
}

function attnValues(layer: Section | undefined, dModel: unknown, where: string): Section {
  if (!layer) return {};
  expectOnly(layer, 'layer', 'causal', true, where);
  const width = Math.round(Number(layer.expand ?? 1) * Number(dModel));
  const numHeads = Math.floor(width / Number(layer.d_head));
  return {
    numHeads,
    numHeadsKv: layer.kv_heads ?? numHeads,
    headDim: layer.d_head,
    qkvProjBias: layer.bias,
    outProjBias: layer.bias,
    slidingWindowLength: layer.max_context_len,
  };
}

function mlpValues(layer: Section | undefined): Section {
  if (!layer) return {};
  return {
    expand: layer.expand,
    bias: layer.bias,
    gated: layer.glu,
    // An ungated layer has the norm's weight, but does not apply it.
    norm: layer.glu === true && layer.norm === true,
    activation: layer.activation === 'swish' ? 'silu' : layer.activation,
  };
}

/** The flattened keys of the metadata ('model.unique_layers.0.layer.d_state') as a tree. */
function nested(metadata: ReadonlyMap<string, string>, where: string): Section {
  const root: Record<string, unknown> = Object.create(null);
  for (const [key, text] of metadata) {
    const path = key.split('.');
    const last = path.pop() ?? '';
    let section = root;
    for (const part of path) {
      const inner = section[part] ?? Object.create(null);
      if (!asRecord(inner)) throw new ConfigError(key, 'a section', 'a value', where);
      section[part] = inner;
      section = inner;
    }
    section[last] = parseValue(text, key, where);
  }
  return root;
}

function parseValue(text: string, key: string, where: string): unknown {
  // Lists and objects are short. Deep nesting would overflow the stack in a comparison.
  if ((text.match(/[[{]/g)?.length ?? 0) > 1000) {
    throw new ConfigError(key, 'a short JSON value', text.slice(0, 60), where);
  }
  try {
    return parseJson(text);
  } catch {
    // Other writers' plain strings, such as format: pt.
    if (!key.includes('.') && key !== '_class_') return text;
    throw new ConfigError(key, 'JSON', text.slice(0, 60), where);
  }
}

/** A list that may have been flattened to keys 0, 1... */
function listOf(value: unknown): unknown {
  const section = asRecord(value);
  return section ? Object.values(section) : value;
}

function expectOnly(
  section: Section,
  name: string,
  key: string,
  only: unknown,
  where: string,
): void {
  const value = section[key] ?? only;
  if (value === only) return;
  throw new ConfigError(
    `${name}.${key}`,
    `${only} (others are not supported)`,
    shortJson(value),
    where,
  );
}

/** MLX's names for the parts of a mixer, where they differ from the original's. */
const MIXER_NAMES: ReadonlyMap<string, string> = new Map([
  ['A', 'A_log'],
  ['conv_weight', 'conv1d.weight'],
  ['conv_bias', 'conv1d.bias'],
  ['rms_norm.weight', 'norm.weight'],
  ['qkv_proj.weight', 'in_proj.weight'],
  ['qkv_proj.bias', 'in_proj.bias'],
]);

/** The original's name of an MLX checkpoint's tensor. Unknown names are unchanged. */
function originalName(name: string): string {
  const [, i, layer, rest = ''] = /^model\.layers\.(\d+)\.(norm|layer)\.(.+)$/.exec(name) ?? [];
  if (layer === 'norm') return `backbone.layers.${i}.norm.${rest}`;
  if (layer) return `backbone.layers.${i}.mixer.${MIXER_NAMES.get(rest) ?? rest}`;
  return name
    .replace(/^embedding\.encoder\./, 'backbone.embedding.')
    .replace(/^model\.norm\./, 'backbone.norm_f.')
    .replace(/^head\.linear\./, 'lm_head.');
}

/** Presents an MLX checkpoint with the original's names and layouts. */
export function mlxCheckpoint(inner: Checkpoint): Checkpoint {
  const names = new Map(inner.names.map((name) => [originalName(name), name]));
  const innerName = (name: string): string => {
    const found = names.get(name);
    if (found !== undefined) return found;
    throw new CheckpointError(`${inner.path}: it has no tensor named '${name}'`);
  };
  return {
    ...inner,
    names: [...names.keys()],
    has: (name) => names.has(name),
    info(name) {
      const info = inner.info(innerName(name));
      const [channels, width] = info.shape;
      const isConv = name.endsWith('.conv1d.weight') && info.shape.length === 2;
      // The original has an axis for one input channel per group.
      return isConv ? { ...info, shape: [channels ?? 0, 1, width ?? 0] } : info;
    },
    read: (name, start, length, into) => inner.read(innerName(name), start, length, into),
    storedMatrix: (name) => inner.storedMatrix(innerName(name)),
    async readF32(name) {
      const values = await inner.readF32(innerName(name));
      if (!name.endsWith('.A_log')) return values;
      if (values.every((A) => A < 0)) return values.map((A) => Math.log(-A));
      throw new CheckpointError(`${inner.path}: '${innerName(name)}': expected negative numbers`);
    },
  };
}
