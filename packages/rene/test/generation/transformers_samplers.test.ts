// Penalties and filters against the processors of transformers, alone and together.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import { reneConfig } from '../../src/config.js';
import type { SamplingOptions } from '../../src/generation/options.js';
import { resolveOptions } from '../../src/generation/resolve_options.js';
import { Sampler } from '../../src/generation/sampler.js';
import { TokenDistribution } from '../../src/generation/token_distribution.js';

interface VectorFile {
  ids: number[];
  vectors: (number | null)[][];
  cases: { vector: number; params: Record<string, number>; probs: Record<string, number> }[];
}

const file: VectorFile = JSON.parse(
  readFileSync(
    new URL('../../../test/generation/transformers_samplers.json', import.meta.url),
    'utf8',
  ),
);

const configOf = (vocabSize: number) =>
  reneConfig({ vocabSize, padVocabSizeMultiple: 1, nLayer: 1, eosTokenId: null });

/** The distribution that a sequence's next token is drawn from. */
function probabilities(
  logits: readonly number[],
  ids: readonly number[],
  params: Record<string, number>,
): Map<number, number> {
  const options = Object.entries(params).map(([name, value]) => [camel(name), value]);
  const config = resolveOptions(
    { seed: 1, ...Object.fromEntries(options) },
    configOf(logits.length),
  );
  if (!config.filters) throw new Error('expected sampling');
  const sequence = { ids, promptLength: ids.length, seen: new Set(ids) };
  const scores = new Sampler(config).process(Float64Array.from(logits), sequence);
  const {
    ids: kept,
    values,
    size,
  } = new TokenDistribution(logits.length).setProbabilities(scores, config.filters);
  return new Map([...kept.subarray(0, size)].map((id, i) => [id, values[i] ?? 0]));
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

describe('sampling as in transformers', () => {
  for (const [i, { vector, params, probs }] of file.cases.entries()) {
    it(`case ${i}: ${JSON.stringify(params)} of vector ${vector}`, () => {
      const logits = (file.vectors[vector] ?? []).map((logit) => logit ?? Number.NEGATIVE_INFINITY);
      const found = probabilities(logits, file.ids, params);
      expect([...found.keys()].map(String)).to.have.members(Object.keys(probs));
      for (const [id, probability] of found) {
        expect(probability).to.be.closeTo(probs[id] ?? 0, 1e-9, `token ${id}`);
      }
    });
  }

  it('keeps a token whatever the filters, and a larger typicalP keeps more', () => {
    const logits = fc.array(fc.double({ min: -30, max: 30, noNaN: true }), { minLength: 1 });
    const share = fc.double({ min: 1e-6, max: 1 - 1e-9, noNaN: true });
    fc.assert(
      fc.property(logits, share, share, share, (values, typical, epsilon, eta) => {
        const all = probabilities(values, [], {
          typical_p: typical,
          epsilon_cutoff: epsilon,
          eta_cutoff: eta,
        });
        expect(all.size).to.be.above(0);
        const sum = [...all.values()].reduce((a, b) => a + b, 0);
        expect(sum).to.be.closeTo(1, 1e-9);
        const few = probabilities(values, [], { typical_p: Math.min(typical, eta) });
        const more = probabilities(values, [], { typical_p: Math.max(typical, eta) });
        expect([...more.keys()]).to.include.members([...few.keys()]);
      }),
    );
  });

  it('refuses values out of range', () => {
    const wrong: SamplingOptions[] = [
      { typicalP: 0 },
      { typicalP: 1.1 },
      { epsilonCutoff: 1 },
      { epsilonCutoff: -0.1 },
      { etaCutoff: 1 },
      { etaCutoff: Number.NaN },
    ];
    for (const options of wrong) {
      const [name = ''] = Object.keys(options);
      expect(() => resolveOptions(options, configOf(8))).to.throw(`${name}: expected a number`);
    }
  });
});
