// The table of blocks and parameters for model.summary() and `rene info`.
import type { ParameterSpec } from '@rene-js/layers';
import { blueprintOf } from './architectures/index.js';
import type { ModelConfig } from './architectures/model_config.js';

/** One line per block, then the totals. */
export function summarize(config: ModelConfig, specs: readonly ParameterSpec[]): string[] {
  const line = (name: string, kind: string, count: number) =>
    `${name.padEnd(24)}${kind.padEnd(26)}${count.toLocaleString('en-US').padStart(16)}`;
  const rule = '-'.repeat(66);
  const { outline, embedding } = blueprintOf(config);
  const blocks = outline.layers.map(({ name, kind, prefix }) =>
    line(name, kind, countParameters(specs, prefix)),
  );
  const head = config.tieWordEmbeddings
    ? `${'lm_head'.padEnd(24)}Linear (the embedding's)`
    : line('lm_head', 'Linear', countParameters(specs, 'lm_head.'));
  return [
    line('embedding', 'Embedding', countParameters(specs, embedding)),
    ...blocks,
    line(outline.normF.name, outline.normF.kind, countParameters(specs, outline.normF.prefix)),
    head,
    rule,
    line('parameters', '', countParameters(specs)),
  ];
}

/** Number of parameters whose names start with `prefix`. */
export function countParameters(
  specs: readonly Pick<ParameterSpec, 'name' | 'shape'>[],
  prefix = '',
): number {
  return specs
    .filter(({ name }) => name.startsWith(prefix))
    .reduce((sum, { shape }) => sum + shape.reduce((size, axis) => size * axis, 1), 0);
}
