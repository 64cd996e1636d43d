// Which modules an adapter changes or replaces, by PEFT's rules.
import type { ParameterSpec } from '@rene-js/layers';
import { blueprintOf } from '../architectures/index.js';
import type { ModelConfig } from '../architectures/model_config.js';
import { CheckpointError } from '../errors.js';
import type { AdapterConfig } from './adapter_config.js';
import { peftPatternMatch, pythonFullMatch, translate } from './python_regex.js';

/** A low-rank correction of a matrix. */
export interface Correction {
  /** The module's name in the original: `backbone.layers.0.mixer.in_proj`. */
  readonly module: string;
  readonly kind: 'linear' | 'embedding';
  /** Shape of the module's weight: (outFeatures, inFeatures), or (vocabulary, dModel). */
  readonly shape: readonly [rows: number, columns: number];
  readonly rank: number;
  readonly scale: number;
}

/** An adapter's effects on a model. */
export interface AdapterPlan {
  readonly corrections: readonly Correction[];
  /** Parameters of modules_to_save, which must be in the adapter's file. */
  readonly saved: readonly string[];
  /**
   * Every parameter of the model by name, with its shape; for a tied model also `lm_head.weight`, which an
   * adapter can change separately.
   */
  readonly parameters: ReadonlyMap<string, ParameterSpec>;
}

const HEAD = 'lm_head';

/**
 * Matches an adapter's options with a model's modules.
 *
 * @param where path of the options, for errors
 * @throws CheckpointError if no module is targeted, or one that cannot be adapted
 */
export function planAdapter(
  config: ModelConfig,
  adapter: AdapterConfig,
  where: string,
): AdapterPlan {
  const blueprint = blueprintOf(config);
  const parameters = new Map(blueprint.tensors.map((spec) => [spec.name, spec]));
  const embedding = parameters.get(blueprint.embedding);
  if (config.tieWordEmbeddings && embedding) {
    parameters.set(`${HEAD}.weight`, { ...embedding, name: `${HEAD}.weight` });
  }
  const modules = moduleNames(parameters);
  const linear = modules.filter(
    (module) => kindOf(module, parameters, blueprint.embedding) === 'linear',
  );
  const isTarget = targetMatcher(adapter, linear, where);
  const targets = modules.filter(isTarget);
  const saved = [...parameters.keys()].filter((name) => isSaved(name, adapter.modulesToSave));
  checkFound(targets, saved, adapter, where);
  const rankOf = patternLookup(adapter.rankPattern, adapter.rank, `${where}: rank_pattern`);
  const alphaOf = patternLookup(adapter.alphaPattern, adapter.alpha, `${where}: alpha_pattern`);
  const corrections = targets.map((module): Correction => {
    const kind = kindOf(module, parameters, blueprint.embedding);
    if (kind === undefined) {
      throw new CheckpointError(
        `${where}: target_modules: expected linear layers and the embedding (others are not ` +
          `supported), found ${module}`,
      );
    }
    const [rows = 0, columns = 0] = parameters.get(`${module}.weight`)?.shape ?? [];
    const rank = rankOf(module);
    const scale = alphaOf(module) / (adapter.useRslora ? Math.sqrt(rank) : rank);
    return { module, kind, shape: [rows, columns], rank, scale };
  });
  return { corrections, saved, parameters };
}

/** The linear layers of a model but the head, by their names in the original. */
export function linearModules(config: ModelConfig): string[] {
  const { tensors, embedding } = blueprintOf(config);
  const parameters = new Map(tensors.map((spec) => [spec.name, spec]));
  return moduleNames(parameters).filter(
    (module) => module !== HEAD && kindOf(module, parameters, embedding) === 'linear',
  );
}

/** Every module in a parameter's name, parents first. */
function moduleNames(parameters: ReadonlyMap<string, ParameterSpec>): string[] {
  const names = new Set<string>();
  for (const name of parameters.keys()) {
    const parts = name.split('.');
    for (let i = 1; i < parts.length; i++) names.add(parts.slice(0, i).join('.'));
  }
  return [...names];
}

function kindOf(
  module: string,
  parameters: ReadonlyMap<string, ParameterSpec>,
  embedding: string,
): 'linear' | 'embedding' | undefined {
  if (parameters.get(`${module}.weight`)?.kind !== 'matrix') return undefined;
  return `${module}.weight` === embedding ? 'embedding' : 'linear';
}

function targetMatcher(
  adapter: AdapterConfig,
  linear: readonly string[],
  where: string,
): (module: string) => boolean {
  const { targets, layersToTransform, layersPattern } = adapter;
  const isExcluded = exclusion(adapter, where);
  if (typeof targets === 'string') {
    // PEFT excludes the output head too.
    const named = new Set(linear.filter((module) => module !== HEAD));
    if (targets.toLowerCase() === 'all-linear') return (m) => named.has(m) && !isExcluded(m);
    const pattern = compile(pythonFullMatch, targets, `${where}: target_modules`);
    return (module) => pattern.test(module) && !isExcluded(module);
  }
  const patterns = (layersPattern.length > 0 ? layersPattern : ['[^.]*']).map((pattern) =>
    compile(
      (source) => new RegExp(`^.*?\\.${translate(source).pattern}\\.(\\d+)\\.`),
      pattern,
      `${where}: layers_pattern`,
    ),
  );
  const isInLayer = (module: string): boolean => {
    if (layersToTransform.length === 0) return true;
    const found = patterns.map((pattern) => pattern.exec(module)).find((match) => match !== null);
    return found != null && layersToTransform.includes(Number(found.at(-1)));
  };
  return (module) => {
    if (isExcluded(module)) return false;
    // A full name matches in any layer.
    if (targets.includes(module)) return true;
    return targets.some((target) => module.endsWith(`.${target}`)) && isInLayer(module);
  };
}

function exclusion(
  { excluded, modulesToSave }: AdapterConfig,
  where: string,
): (module: string) => boolean {
  const text = typeof excluded === 'string' ? excluded : '';
  const pattern =
    text === '' ? undefined : compile(pythonFullMatch, text, `${where}: exclude_modules`);
  const saved = modulesToSave.map((name) =>
    compile(
      (source) => new RegExp(`^(^|.*\\.)${translate(source).pattern}($|\\..*)`),
      name,
      `${where}: modules_to_save`,
    ),
  );
  return (module) => {
    if (pattern?.test(module) || saved.some((regex) => regex.test(module))) return true;
    if (typeof excluded === 'string') return false;
    return excluded.some((name) => module === name || module.endsWith(`.${name}`));
  };
}

/** Whether a parameter belongs to one of modules_to_save, which are name endings. */
function isSaved(parameter: string, modulesToSave: readonly string[]): boolean {
  const parts = parameter.split('.');
  return parts.some((_, i) => {
    const module = parts.slice(0, i).join('.');
    return i > 0 && modulesToSave.some((name) => module.endsWith(name));
  });
}

function checkFound(
  targets: readonly string[],
  saved: readonly string[],
  { targets: wanted, modulesToSave }: AdapterConfig,
  where: string,
): void {
  if (targets.length === 0) {
    const found = typeof wanted === 'string' ? `'${wanted}'` : `[${wanted.join(', ')}]`;
    throw new CheckpointError(
      `${where}: target_modules: expected modules of this model, such as in_proj, found ${found}`,
    );
  }
  if (modulesToSave.length > 0 && saved.length === 0) {
    throw new CheckpointError(
      `${where}: modules_to_save: expected modules of this model, found [${modulesToSave.join(', ')}]`,
    );
  }
}

/** The value of the first pattern that matches a module's name, else the default. */
function patternLookup(
  patterns: ReadonlyMap<string, number>,
  general: number,
  where: string,
): (module: string) => number {
  const compiled = [...patterns].map(
    ([source, value]) => [compile(peftPatternMatch, source, where), value] as const,
  );
  return (module) => compiled.find(([pattern]) => pattern.test(module))?.[1] ?? general;
}

function compile(make: (source: string) => RegExp, source: string, where: string): RegExp {
  try {
    return make(source);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CheckpointError(
      `${where}: '${source}' is not a valid regular expression: ${error.message}`,
    );
  }
}
