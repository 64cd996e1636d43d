// The table of blocks and parameters for model.summary() and `rene info`.
import type { ParameterSpec } from '@rene-js/layers';
import { type LayerKind, layerKinds, type ReneConfig } from './config.js';

const kindNames: Record<LayerKind, string> = {
  ssd: 'Mamba2Mixer',
  attn: 'SlidingWindowAttention',
  mlp: 'MLP',
};

/** One line per block, then the totals. */
export function summarize(config: ReneConfig, specs: readonly ParameterSpec[]): string[] {
  const line = (name: string, kind: string, count: number) =>
    `${name.padEnd(24)}${kind.padEnd(26)}${count.toLocaleString('en-US').padStart(16)}`;
  const rule = '-'.repeat(66);
  const blocks = layerKinds(config).map((kind, i) => {
    const name = kind === 'mlp' && config.mlp?.gated ? 'GatedMLP' : kindNames[kind];
    return line(`layers.${i}`, name, countParameters(specs, `backbone.layers.${i}.`));
  });
  const head = config.tieWordEmbeddings
    ? `${'lm_head'.padEnd(24)}Linear (the embedding's)`
    : line('lm_head', 'Linear', countParameters(specs, 'lm_head.'));
  return [
    line('embedding', 'Embedding', countParameters(specs, 'backbone.embedding.')),
    ...blocks,
    line(
      'norm_f',
      config.rmsNorm ? 'RMSNorm' : 'LayerNorm',
      countParameters(specs, 'backbone.norm_f.'),
    ),
    head,
    rule,
    line('parameters', '', countParameters(specs)),
  ];
}

/** Number of parameters whose names start with `prefix`. */
export function countParameters(specs: readonly ParameterSpec[], prefix = ''): number {
  return specs
    .filter(({ name }) => name.startsWith(prefix))
    .reduce((sum, { shape }) => sum + shape.reduce((size, axis) => size * axis, 1), 0);
}
