// The `quantization` section of MLX's config.json: how matrices are packed.
import { ConfigError } from '../errors.js';
import { asRecord, shortJson } from '../json.js';

/** How a matrix is packed, which its shapes do not determine. */
export interface Quantization {
  readonly bits: number;
  /** Columns per scale and bias. */
  readonly groupSize: number;
}

/** How the matrices of a checkpoint are packed. */
export interface QuantizationPlan {
  /** For matrices without their own entry. */
  readonly general: Quantization;
  /** By module name (the matrix's name without `.weight`); null for a matrix that is not quantised. */
  readonly modules: ReadonlyMap<string, Quantization | null>;
}

const BITS: readonly unknown[] = [2, 3, 4, 5, 6, 8];
const GROUP_SIZES: readonly unknown[] = [32, 64, 128];
/** MLX's defaults. */
const DEFAULTS = { bits: 4, group_size: 64 };
/** Keys of the section that are not module names. */
const OWN_KEYS: ReadonlySet<string> = new Set(['bits', 'group_size', 'mode', 'quant_method']);

/**
 * Reads the quantization of a config.json: its section `quantization`, else `quantization_config`, which
 * other libraries use for formats that are refused here. Undefined if it has neither.
 *
 * @throws ConfigError
 */
export function parseQuantization(json: unknown, where: string): QuantizationPlan | undefined {
  const { quantization, quantization_config } = asRecord(json) ?? {};
  if (quantization != null) return parseSection(quantization, 'quantization', where);
  if (quantization_config == null) return undefined;
  return parseSection(quantization_config, 'quantization_config', where);
}

/** Reads a section. Missing keys have MLX's defaults. @throws ConfigError */
export function parseSection(section: unknown, key: string, where: string): QuantizationPlan {
  const values = asRecord(section);
  if (!values) throw new ConfigError(key, 'an object', shortJson(section), where);
  const method = values.quant_method;
  if (method !== undefined && method !== 'mlx') {
    const expected = "MLX's quantization, bits and group_size (others are not supported)";
    throw new ConfigError(`${key}.quant_method`, expected, shortJson(method), where);
  }
  const modules = new Map<string, Quantization | null>();
  for (const [name, value] of Object.entries(values)) {
    if (!OWN_KEYS.has(name)) addModules(modules, name, value, key, where);
  }
  return { general: parseOne(values, key, where), modules };
}

/** A module's entry, or nested entries, as in the metadata's dotted keys. */
function addModules(
  modules: Map<string, Quantization | null>,
  name: string,
  value: unknown,
  key: string,
  where: string,
): void {
  if (value === false) modules.set(name, null);
  if (value === true) modules.set(name, parseOne({}, key, where));
  // Other values are options of other programs.
  const entry = asRecord(value);
  if (!entry) return;
  const inner = Object.entries(entry).filter(([part]) => !OWN_KEYS.has(part));
  if (inner.length < Object.keys(entry).length || inner.length === 0) {
    modules.set(name, parseOne(entry, `${key}['${name}']`, where));
  }
  for (const [part, more] of inner) {
    // Nested too deeply for a module's name.
    if (name.split('.').length < 32) addModules(modules, `${name}.${part}`, more, key, where);
  }
}

function parseOne(values: Record<string, unknown>, key: string, where: string): Quantization {
  const { bits, group_size: groupSize, mode = 'affine' } = { ...DEFAULTS, ...values };
  if (mode !== 'affine') {
    const expected = "'affine' (others are not supported)";
    throw new ConfigError(`${key}.mode`, expected, shortJson(mode), where);
  }
  if (!BITS.includes(bits)) {
    throw new ConfigError(`${key}.bits`, '2, 3, 4, 5, 6 or 8', shortJson(bits), where);
  }
  if (!GROUP_SIZES.includes(groupSize)) {
    throw new ConfigError(`${key}.group_size`, '32, 64 or 128', shortJson(groupSize), where);
  }
  return { bits: Number(bits), groupSize: Number(groupSize) };
}
