import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import * as fc from 'fast-check';
import {
  type ReferenceSamplingParams,
  samplingProbabilities,
} from '../../src/generation/reference_sampling.js';
import {
  argmax,
  penalizeRepetition,
  TokenDistribution,
} from '../../src/generation/token_distribution.js';

interface SamplingFile {
  vectors: { logits: number[]; previous: number[] }[];
  cases: { api: string; vector: number; params: ReferenceSamplingParams; probs: number[] }[];
}

const file: SamplingFile = JSON.parse(
  readFileSync(new URL('../../../../../goldens/sampling.json', import.meta.url), 'utf8'),
);

describe('samplingProbabilities', () => {
  for (const [i, { api, vector, params, probs }] of file.cases.entries()) {
    it(`case ${i}: ${api} ${JSON.stringify(params)} of vector ${vector}`, () => {
      const { logits = [], previous = [] } = file.vectors[vector] ?? {};
      const found = samplingProbabilities(api, logits, previous, params);
      expect(found).to.have.length(probs.length);
      probs.forEach((probability, id) => {
        expect(found[id]).to.be.closeTo(probability, 1e-9, `token ${id}`);
      });
    });
  }

  it('refuses an unknown api', () => {
    expect(() => samplingProbabilities('torch', [1])).to.throw("api: expected 'mamba'");
  });
});

/** The same by sorting everything: slow and simple. */
function plainProbabilities(
  logits: number[],
  { temperature, topK, topP, minP }: Parameters<TokenDistribution['setProbabilities']>[1],
): number[] {
  const byLogit = logits.map((logit, id) => ({ logit, id }));
  byLogit.sort((a, b) => b.logit - a.logit || a.id - b.id);
  const least = topK > 0 ? byLogit[Math.min(topK, byLogit.length) - 1]?.logit : undefined;
  const top = byLogit.filter(({ logit }) => least === undefined || logit >= least);
  let kept = top.map((token) => ({
    ...token,
    weight: Math.exp((token.logit - (byLogit[0]?.logit ?? 0)) / temperature),
  }));
  if (topP > 0 && topP < 1) {
    const limit = (1 - topP) * kept.reduce((sum, { weight }) => sum + weight, 0);
    let sum = 0;
    for (let i = kept.length - 1; i > 0; i--) {
      sum += kept[i]?.weight ?? 0;
      if (sum > limit) {
        kept = kept.slice(0, i + 1);
        break;
      }
      if (i === 1) kept = kept.slice(0, 1);
    }
  }
  kept = kept.filter(({ weight }) => weight >= minP);
  const total = kept.reduce((sum, { weight }) => sum + weight, 0);
  const probabilities = new Array<number>(logits.length).fill(0);
  for (const { id, weight } of kept) probabilities[id] = weight / total;
  return probabilities;
}

describe('TokenDistribution', () => {
  it('top k keeps ties with the k-th value, as transformers does', () => {
    const logits = [1, 3, 2, 2, 0, 2];
    const filters = { temperature: 1, topP: 0, minP: 0 };
    const kept = (topK: number) => {
      const { ids, size } = new TokenDistribution(6).setProbabilities(logits, { ...filters, topK });
      return [...ids.subarray(0, size)];
    };
    expect([1, 2, 4, 5, 6, 0].map(kept)).to.deep.equal([
      ...[[1], [1, 2, 3, 5], [1, 2, 3, 5], [0, 1, 2, 3, 5]],
      ...[
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, 5],
      ],
    ]);
    // Lists of top tokens have exactly the requested length.
    const listed = new TokenDistribution(6).setLogits(logits);
    listed.keepTopK(2);
    expect([...listed.ids.subarray(0, listed.size)]).to.deep.equal([1, 2]);
  });

  it('equals sorting the whole vocabulary, for any filters, with ties', () => {
    const logit = fc.oneof(
      fc.integer({ min: -20_000_000, max: 20_000_000 }).map((millionths) => millionths / 1e6),
      fc.integer({ min: -3, max: 3 }),
    );
    fc.assert(
      fc.property(
        fc.array(logit, { minLength: 1, maxLength: 120 }),
        fc.record({
          // exp(-40 / 0.06) is still a normal number. Below it, whether a weight is 0 depends on the order of
          // operations.
          temperature: fc.double({ min: 0.06, max: 3, noNaN: true }),
          topK: fc.integer({ min: 0, max: 130 }),
          // Odd values, so that no sum of weights equals the limit exactly.
          topP: fc.constantFrom(0, 0.0371, 0.3173, 0.5237, 0.9013, 0.9907, 1),
          minP: fc.constantFrom(0, 0.0501, 0.3003),
        }),
        (logits, filters) => {
          const expected = plainProbabilities(logits, filters);
          const found = new TokenDistribution(logits.length).setProbabilities(logits, filters);
          const ids = [...found.ids.subarray(0, found.size)];
          expect(ids).to.deep.equal(expected.flatMap((p, id) => (p > 0 ? [id] : [])));
          ids.forEach((id, i) => {
            expect(found.values[i]).to.be.closeTo(expected[id] ?? 0, 1e-12);
          });
        },
      ),
      { numRuns: 500 },
    );
  });

  it('top p of equal weights includes no extra token by rounding', () => {
    const kept = (n: number, topP: number) =>
      new TokenDistribution(n).setProbabilities(new Array<number>(n).fill(2), {
        temperature: 1,
        topK: 0,
        topP,
        minP: 0,
      }).size;
    expect([kept(10, 0.9), kept(10, 0.3), kept(1000, 0.999), kept(7, 0.5)]).to.deep.equal([
      ...[9, 3, 999, 4],
    ]);
  });

  it('always keeps the most probable token', () => {
    const filters = { temperature: 1e-300, topK: 1, topP: 1e-18, minP: 1 };
    const found = new TokenDistribution(3).setProbabilities([1, 3, 2], filters);
    expect(found.size).to.equal(1);
    expect(found.draw(0.999999)).to.equal(1);
  });

  it('samples each token in proportion to its probability', () => {
    const found = new TokenDistribution(4);
    const filters = { temperature: 1, topK: 0, topP: 0, minP: 0 };
    found.setProbabilities([0.1, 0.2, 0.3, 0.4].map(Math.log), filters);
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 1000; i++) {
      const id = found.draw((i + 0.5) / 1000);
      counts[id] = (counts[id] ?? 0) + 1;
    }
    expect(counts).to.deep.equal([100, 200, 300, 400]);
  });

  it('has no token if every logit is -Infinity', () => {
    const found = new TokenDistribution(2).setLogits([-Infinity, -Infinity]);
    expect(found.draw(0.5)).to.equal(-1);
  });
});

describe('penalizeRepetition and argmax', () => {
  it('counts each id once and does not change the others', () => {
    const logits = Float64Array.of(2, -2, 3);
    penalizeRepetition(logits, new Set([0, 1, 1]), 2);
    expect([...logits]).to.deep.equal([1, -4, 3]);
  });

  it('returns the lowest of equal ids below the limit, and ignores NaN', () => {
    expect(argmax([1, 5, 5, 9], 3)).to.equal(1);
    expect(argmax([Number.NaN, -Infinity])).to.equal(-1);
  });
});
