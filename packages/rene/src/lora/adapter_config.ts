// adapter_config.json of the Python library PEFT: the options of a LoRA adapter.
//
// Every key of PEFT's LoraConfig is implemented as in PEFT, or has no effect, or is refused by name.
import { CheckpointError } from '../errors.js';
import { asRecord, shortJson } from '../json.js';

/** A LoRA adapter's validated options, named as in PEFT's LoraConfig. */
export interface AdapterConfig {
  /** Rank (`r`). */
  readonly rank: number;
  /** Alpha (`lora_alpha`). */
  readonly alpha: number;
  /** Ranks of some modules; the first pattern that matches a module's name applies. */
  readonly rankPattern: ReadonlyMap<string, number>;
  readonly alphaPattern: ReadonlyMap<string, number>;
  /** Scale by alpha / sqrt(rank), else by alpha / rank. */
  readonly useRslora: boolean;
  /** DoRA: rows of the adapted matrix are normalised and scaled by a magnitude vector. */
  readonly useDora: boolean;
  /** Whether lora_B has a bias. */
  readonly loraBias: boolean;
  /** A regular expression, 'all-linear', or full names or last name parts of modules. */
  readonly targets: string | readonly string[];
  readonly excluded: string | readonly string[];
  /** Restricts targets by last name part to these block indices. */
  readonly layersToTransform: readonly number[];
  readonly layersPattern: readonly string[];
  /** Name endings of modules that the adapter replaces. */
  readonly modulesToSave: readonly string[];
  /** Which biases were trained: 'none', 'all' or 'lora_only'. */
  readonly bias: string;
}

/** Keys that do not affect a saved adapter. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...['auto_mapping', 'base_model_name_or_path', 'revision', 'inference_mode', 'peft_version'],
  // Used only in training.
  ...['lora_dropout', 'loftq_config', 'eva_config', 'corda_config', 'lora_ga_config'],
  ...['velora_config', 'runtime_config', 'qalora_group_size', 'megatron_core', 'merge_weights'],
  // PEFT ignores it for these kinds of modules.
  'fan_in_fan_out',
]);

/** Keys that affect the result and are not supported, unless null, false or empty. */
const UNSUPPORTED: ReadonlySet<string> = new Set([
  ...['megatron_config', 'trainable_token_indices', 'alora_invocation_tokens', 'use_qalora'],
  ...['layer_replication', 'target_parameters', 'use_bdlora', 'arrow_config', 'kasa_config'],
  ...['monteclora_config', 'ensure_weight_tying', 'enable_lora'],
]);

/** Initialisations that also change the base model's weights, which are not in the adapter's file. */
const CHANGES_BASE = /^(pissa|olora|corda|loftq|lora_ga)/i;

/**
 * Parses an adapter_config.json.
 *
 * @param where its path, for errors
 * @throws CheckpointError naming the invalid, unknown or unsupported key
 */
export function parseAdapterConfig(json: unknown, where: string): AdapterConfig {
  const values = asRecord(json);
  if (!values) throw new CheckpointError(`${where}: expected an object, found ${shortJson(json)}`);
  const reader = new Reader(values, where);
  reader.text('peft_type', ['LORA'], 'LORA');
  reader.text('task_type', ['CAUSAL_LM'], 'CAUSAL_LM');
  const config: AdapterConfig = {
    rank: reader.rank('r', values.r ?? 8),
    alpha: reader.number('lora_alpha', values.lora_alpha ?? 8),
    rankPattern: reader.pattern('rank_pattern', (key, value) => reader.rank(key, value)),
    alphaPattern: reader.pattern('alpha_pattern', (key, value) => reader.number(key, value)),
    useRslora: reader.flag('use_rslora'),
    useDora: reader.flag('use_dora'),
    loraBias: reader.flag('lora_bias'),
    targets: reader.namesOrPattern('target_modules'),
    excluded: reader.namesOrPattern('exclude_modules', []),
    layersToTransform: reader.indices('layers_to_transform'),
    layersPattern: reader.names('layers_pattern'),
    modulesToSave: reader.names('modules_to_save'),
    bias: reader.text('bias', ['none', 'all', 'lora_only'], 'none'),
  };
  const init = values.init_lora_weights ?? true;
  if (typeof init === 'string' && CHANGES_BASE.test(init)) {
    const remedy =
      'save it with PEFT as a plain one: save_pretrained with path_initial_model_for_weight_conversion';
    throw reader.error(
      'init_lora_weights',
      `an adapter that does not change its base model; ${remedy}`,
    );
  }
  reader.seen.add('init_lora_weights');
  reader.refuseOthers();
  checkTogether(config, reader);
  return config;
}

/** PEFT refuses this too. */
function checkTogether(config: AdapterConfig, reader: Reader): void {
  const { targets, layersToTransform, layersPattern } = config;
  if (typeof targets === 'string' && layersToTransform.length > 0) {
    throw reader.error('layers_to_transform', 'null if target_modules is a string');
  }
  if (layersPattern.length > 0 && (layersToTransform.length === 0 || typeof targets === 'string')) {
    throw reader.error(
      'layers_pattern',
      'layers_to_transform and a list of target_modules together with it',
    );
  }
  if (config.loraBias && config.useDora) throw reader.error('lora_bias', 'false with use_dora');
}

class Reader {
  /** The keys that were read. */
  readonly seen = new Set<string>();

  constructor(
    private readonly values: Record<string, unknown>,
    private readonly where: string,
  ) {}

  error(key: string, expected: string, found = this.values[key]): CheckpointError {
    return new CheckpointError(
      `${this.where}: ${key}: expected ${expected}, found ${shortJson(found)}`,
    );
  }

  flag(key: string): boolean {
    const value = this.get(key) ?? false;
    if (typeof value !== 'boolean') throw this.error(key, 'true or false');
    return value;
  }

  text(key: string, choices: readonly string[], fallback?: string): string {
    const value = this.get(key) ?? fallback;
    if (typeof value === 'string' && choices.includes(value)) return value;
    throw this.error(key, `${choices.join(' or ')} (others are not supported)`);
  }

  rank(key: string, value: unknown): number {
    this.seen.add(key);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
    throw this.error(key, 'a whole number from 1', value);
  }

  number(key: string, value: unknown): number {
    this.seen.add(key);
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.error(key, 'a number', value);
  }

  pattern(key: string, read: (key: string, value: unknown) => number): Map<string, number> {
    const entries = asRecord(this.get(key) ?? {});
    if (!entries) throw this.error(key, 'an object of patterns and numbers');
    return new Map(
      Object.entries(entries).map(([name, value]) => [name, read(`${key}['${name}']`, value)]),
    );
  }

  /** A list of names, or a single name. */
  names(key: string): readonly string[] {
    const value = this.namesOrPattern(key, []);
    return typeof value === 'string' ? [value] : value;
  }

  namesOrPattern(key: string, fallback?: readonly string[]): string | readonly string[] {
    const value = this.get(key) ?? fallback;
    if (typeof value === 'string') return value;
    if (isNames(value)) return value;
    throw this.error(key, 'a list of names of modules, or a text');
  }

  /** A list of indices, or a single one; empty for all. */
  indices(key: string): readonly number[] {
    const value = this.get(key) ?? [];
    const list: unknown[] = Array.isArray(value) ? value : [value];
    return list.map((index) => {
      if (typeof index === 'number' && Number.isSafeInteger(index)) return index;
      throw this.error(key, 'an index of a block, or a list of them');
    });
  }

  refuseOthers(): void {
    for (const [key, value] of Object.entries(this.values)) {
      if (this.seen.has(key) || HARMLESS.has(key)) continue;
      if (!UNSUPPORTED.has(key)) {
        throw new CheckpointError(
          `${this.where}: ${key}: unknown key, which may affect the adapter; ` +
            'remove it if it does not',
        );
      }
      if (!isNothing(value)) throw this.error(key, 'null (it is not supported)');
    }
  }

  private get(key: string): unknown {
    this.seen.add(key);
    return this.values[key];
  }
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

function isNothing(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  const record = asRecord(value);
  return record ? Object.keys(record).length === 0 : value === null || value === false;
}
