// Reads typed values from a configuration, under our field names or its source's.
import { ConfigError } from './errors.js';
import { asRecord, shortJson } from './json.js';

/** Keys of config.json that are not the snake case of our field names. */
const FILE_KEYS: Record<string, string> = {
  normEps: 'norm_epsilon',
  ssm: 'ssm_cfg',
  'ssm.headDim': 'headdim',
  'ssm.nGroups': 'ngroups',
  'ssm.rmsNorm': 'rmsnorm',
  'ssm.dHasHdim': 'D_has_hdim',
  'ssm.aInitRange': 'A_init_range',
  attn: 'attn_cfg',
  mlp: 'mlp_cfg',
};

/** Known keys of each section; the original refuses others too. The last ones of each section are ignored. */
const SECTION_FIELDS: Record<string, readonly string[]> = {
  ssm: [
    ...['dState', 'dConv', 'expand', 'headDim', 'dSsm', 'nGroups', 'chunkSize', 'bias', 'convBias'],
    ...['rmsNorm', 'normBeforeGate', 'dHasHdim', 'dtLimit', 'dtMin', 'dtMax', 'dtInitFloor'],
    ...['aInitRange', 'dInner', 'layer', 'convInit', 'useMemEffPath'],
  ],
  attn: [
    ...['numHeads', 'numHeadsKv', 'headDim', 'qkvProjBias', 'outProjBias', 'slidingWindowLength'],
    ...['softmaxScale', 'causal', 'rotaryEmbDim', 'dConv', 'mlpDim', 'rotaryEmbBase'],
    ...['rotaryEmbInterleaved'],
  ],
  mlp: ['expand', 'dInner', 'bias', 'gated', 'norm', 'activation'],
};

type Naming = 'file' | 'options';

/** Wraps a parsed configuration. Error messages start with `where` (a path). */
export function configSource(values: unknown, naming: Naming, where?: string): ConfigSource {
  const record = asRecord(values);
  if (!record) {
    throw new ConfigError(
      naming === 'file' ? 'config' : 'options',
      'an object',
      shortJson(values),
      where,
    );
  }
  return new ConfigSource(record, naming, where, '');
}

export class ConfigSource {
  constructor(
    private readonly values: Record<string, unknown>,
    private readonly naming: Naming,
    private readonly where: string | undefined,
    private readonly sectionName: string,
  ) {}

  /** The format of state-spaces/mamba2-*: no model_type, and keys that only MambaConfig has. */
  get isStateSpaces(): boolean {
    if (this.naming === 'options' || 'model_type' in this.values) return false;
    const keys = ['tie_embeddings', 'fused_add_norm', 'd_intermediate'];
    return keys.some((key) => key in this.values);
  }

  section(name: 'ssm' | 'attn' | 'mlp'): ConfigSource {
    const values = asRecord(this.get(name) ?? {});
    if (!values) throw this.error(name, 'an object');
    return new ConfigSource(values, this.naming, this.where, name);
  }

  /** The key of a field in the source, with its section. */
  key(field: string): string {
    const prefix = this.sectionName === '' ? '' : `${this.keyOf(this.sectionName, '')}.`;
    return prefix + this.keyOf(field, this.sectionName);
  }

  error(field: string, expected: string, found = shortJson(this.get(field))): ConfigError {
    return new ConfigError(this.key(field), expected, found, this.where);
  }

  refuseUnknownKeys(): void {
    const fields = SECTION_FIELDS[this.sectionName] ?? [];
    const known = new Set(fields.map((field) => this.keyOf(field, this.sectionName)));
    for (const key of Object.keys(this.values)) {
      if (known.has(key)) continue;
      const name = `${this.keyOf(this.sectionName, '')}.${key}`;
      throw new ConfigError(name, `one of ${[...known].join(', ')}`, 'an unknown key', this.where);
    }
  }

  /** Present and not null. */
  has(field: string): boolean {
    return this.get(field) != null;
  }

  optionalText(field: string): string | undefined {
    const value = this.get(field) ?? undefined;
    if (value !== undefined && typeof value !== 'string') throw this.error(field, 'a string');
    return value;
  }

  flag(field: string, fallback: boolean): boolean {
    const value = this.get(field) ?? fallback;
    if (typeof value !== 'boolean') throw this.error(field, 'true or false');
    return value;
  }

  /** An integer from 1 to max. Required if there is no fallback. */
  size(field: string, fallback: number | undefined, max: number): number {
    const value = this.get(field) ?? fallback;
    if (isWhole(value) && value >= 1 && value <= max) return value;
    throw this.error(field, `a whole number from 1 to ${max}`, shortJson(value));
  }

  /** An integer, 0 or more. */
  count(field: string, fallback: number): number {
    const value = this.get(field) ?? fallback;
    if (!isWhole(value) || value < 0) throw this.error(field, 'a whole number, 0 or more');
    return value;
  }

  positive(field: string, fallback: number): number {
    const value = this.get(field) ?? fallback;
    if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
    throw this.error(field, 'a finite number above 0');
  }

  /** [low, high] with least <= low <= high. high may be infinite, in any spelling. */
  range(field: string, fallback: [number, number], least: number): [number, number] {
    const value = this.get(field) ?? fallback;
    if (Array.isArray(value) && value.length === 2) {
      const [low, high] = value.map(toNumber);
      if (low !== undefined && high !== undefined && low >= least && low <= high && low < 1e308) {
        // Python's largest float stands for infinity in files that cannot represent it.
        return [low, high >= 1e308 ? Number.POSITIVE_INFINITY : high];
      }
    }
    const from = least > 0 ? 'above 0' : `${least} or more`;
    throw this.error(field, `two numbers [min, max], ${from} and in order`);
  }

  /** A sorted list of distinct block indices. */
  indices(field: string, nLayer: number): number[] {
    const value = this.get(field) ?? [];
    const expected = `different block indices from 0 to ${nLayer - 1}`;
    if (!Array.isArray(value)) throw this.error(field, `a list of ${expected}`);
    const indices = value.map((index: unknown) => {
      if (isWhole(index) && index >= 0 && index < nLayer) return index;
      throw this.error(field, expected, shortJson(index));
    });
    const repeated = indices.find((index, i) => indices.indexOf(index) !== i);
    if (repeated !== undefined) throw this.error(field, expected, `${repeated} twice`);
    return indices.sort((a, b) => a - b);
  }

  /** A token id; null for none. The default applies only if the vocabulary contains it. */
  tokenId(field: string, fallback: number | null, vocabSize: number): number | null {
    const value = this.get(field);
    if (value === undefined) return fallback !== null && fallback < vocabSize ? fallback : null;
    if (value === null) return null;
    if (isWhole(value) && value >= 0 && value < vocabSize) return value;
    throw this.error(field, `a token id below vocab_size (${vocabSize}), or null`);
  }

  /** Distinct token ids, from a list, one id, or null for none. */
  tokenIds(field: string, fallback: number, vocabSize: number): number[] {
    const value = this.get(field);
    if (!Array.isArray(value)) {
      const id = this.tokenId(field, fallback, vocabSize);
      return id === null ? [] : [id];
    }
    const ids = value.map((id: unknown) => {
      if (isWhole(id) && id >= 0 && id < vocabSize) return id;
      throw this.error(field, `token ids below vocab_size (${vocabSize})`, shortJson(id));
    });
    return [...new Set(ids)];
  }

  private get(field: string): unknown {
    const key = this.keyOf(field, this.sectionName);
    if (Object.hasOwn(this.values, key)) return this.values[key];
    // state-spaces' name for it.
    if (key === 'tie_word_embeddings') return this.values.tie_embeddings;
    return undefined;
  }

  private keyOf(field: string, section: string): string {
    if (this.naming === 'options') return field;
    return FILE_KEYS[section === '' ? field : `${section}.${field}`] ?? snakeCase(field);
  }
}

function snakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}

/** A number, or a spelling of infinity that JSON writers use. */
function toNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  const infinite = value === null || value === 'inf' || value === 'Infinity';
  return infinite ? Number.POSITIVE_INFINITY : undefined;
}
