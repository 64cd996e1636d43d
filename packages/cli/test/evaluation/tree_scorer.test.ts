// Scores from shared prefixes and cached states equal those of one forward per request.
import { useBackend } from '@rene-js/layers';
import { ReneLMHeadModel, reneConfig } from '@rene-js/rene';
import { backends, canTestCuda, golden, registerTestCuda } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import fc from 'fast-check';
import type { TokenRequest } from '../../src/evaluation/requests.js';
import { fedTokens, prefixTree } from '../../src/evaluation/scoring/prefix_tree.js';
import { ReneScorer, type ReneScorerOptions } from '../../src/evaluation/scoring/rene_scorer.js';

/** The cpu backend takes about 10 ms per token. */
const runsOn = (backend: string) =>
  Number(process.env.RENE_TEST_RUNS ?? (backend === 'simd' ? 40 : 3));
const tokenizer = { encode: () => [], eosTokenId: 0 };

/** The definition: logits of the whole text, softmax in double precision. */
async function plainScores(model: ReneLMHeadModel, requests: TokenRequest[], maxLength: number) {
  const results = [];
  for (const { contextIds, continuationIds } of requests) {
    const ids = [...contextIds, ...continuationIds].slice(-(maxLength + 1));
    const logits = model.forward([ids.slice(0, -1)]);
    const values = await logits.data();
    logits.dispose();
    const vocab = model.config.paddedVocabSize;
    const scored = Math.min(continuationIds.length, ids.length - 1);
    let loglikelihood = 0;
    let isGreedy = true;
    for (let p = ids.length - 1 - scored; p < ids.length - 1; p++) {
      const row = [...values.slice(p * vocab, (p + 1) * vocab)];
      const max = Math.max(...row);
      const norm = max + Math.log(row.reduce((sum, v) => sum + Math.exp(v - max), 0));
      const id = ids[p + 1] ?? 0;
      loglikelihood += (row[id] ?? 0) - norm;
      isGreedy &&= row.indexOf(max) === id;
    }
    results.push({ loglikelihood, isGreedy });
  }
  return results;
}

/** Documents of a task: a shared prefix, contexts, continuations with common beginnings. */
const documents = fc
  .record({
    shared: fc.array(fc.nat(4), { maxLength: 12 }),
    contexts: fc.array(
      fc.record({
        context: fc.array(fc.nat(4), { minLength: 1, maxLength: 8 }),
        alike: fc.array(fc.nat(4), { maxLength: 9 }),
        continuations: fc.array(fc.array(fc.nat(4), { minLength: 1, maxLength: 6 }), {
          minLength: 1,
          maxLength: 4,
        }),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  })
  .map(({ shared, contexts }) =>
    contexts.flatMap(({ context, alike, continuations }): TokenRequest[] =>
      continuations.map((continuation) => ({
        contextIds: [...shared, ...context],
        continuationIds: [...alike, ...continuation],
      })),
    ),
  );

async function expectPlainScores(
  model: ReneLMHeadModel,
  requests: TokenRequest[],
  options: ReneScorerOptions,
): Promise<ReneScorer> {
  const scorer = new ReneScorer(model, tokenizer, options);
  const seen = new Map<number, number>();
  const before = tf.memory().numTensors;
  const found = await scorer.loglikelihoods(requests, {
    onResult: (index, { loglikelihood }) => seen.set(index, loglikelihood),
  });
  expect(tf.memory().numTensors).to.equal(before);
  const expected = await plainScores(model, requests, scorer.maxLength);
  expected.forEach(({ loglikelihood, isGreedy }, i) => {
    expect(found[i]?.loglikelihood).to.be.closeTo(loglikelihood, 1e-4);
    expect(found[i]?.isGreedy).to.equal(isGreedy);
    expect(seen.get(i)).to.equal(found[i]?.loglikelihood);
  });
  return scorer;
}

const models = ['tiny-hybrid', 'tiny-gqa', 'tiny-mamba2'];
const present = backends.flatMap((backend) => models.map((name) => [backend, name] as const));
/** Slow, so only one model, unless RENE_TEST_BACKENDS selects cuda. */
const cuda: typeof present =
  canTestCuda && !backends.includes('cuda') ? [['cuda', 'tiny-hybrid']] : [];

for (const [backend, name] of [...present, ...cuda]) {
  describe(`scores from cached states, ${name} on ${backend}`, () => {
    let model: ReneLMHeadModel;
    before(async () => {
      if (backend === 'cuda') await registerTestCuda();
      model = await ReneLMHeadModel.fromPretrained(golden(name), { backend });
    });
    after(() => model.dispose());

    it('equal one forward per request', async () => {
      const options = fc.record({
        batchSize: fc.integer({ min: 1, max: 7 }),
        minShared: fc.constantFrom(1, 2, 6, Number.POSITIVE_INFINITY),
        maxLength: fc.constantFrom(9, 4096),
      });
      await fc.assert(
        fc.asyncProperty(documents, options, async (requests, chosen) => {
          await expectPlainScores(model, requests, chosen);
        }),
        { numRuns: runsOn(backend) },
      );
    });

    it('process shared prefixes once', async () => {
      const context = Array.from({ length: 10 }, (_, i) => i % 7);
      const requests = [1, 2, 3, 4].map((id) => ({ contextIds: context, continuationIds: [id] }));
      const scorer = await expectPlainScores(model, requests, {});
      expect(scorer.tokensFed).to.equal(10);
      const alone = await expectPlainScores(model, requests, {
        minShared: Number.POSITIVE_INFINITY,
      });
      expect(alone.tokensFed).to.equal(40);
    });
  });
}

for (const dtype of ['bf16', 'int8', 'int4'] as const) {
  describe(`scores from cached states with ${dtype} weights on simd`, () => {
    let model: ReneLMHeadModel;
    before(async () => {
      const options = { backend: 'simd', dtype, groupSize: 32 };
      model = await ReneLMHeadModel.fromPretrained('rene-tiny', options);
    });
    after(() => model.dispose());

    // Activations are rounded, which would amplify a difference of one bit.
    it('equal one forward per request', () =>
      fc.assert(
        fc.asyncProperty(documents, fc.integer({ min: 1, max: 7 }), async (requests, batchSize) => {
          await expectPlainScores(model, requests, { batchSize, minShared: 2 });
        }),
        { numRuns: 10 },
      ));
  });
}

describe('scoring long texts', () => {
  it('feeds them in chunks that bound the logits in memory', async () => {
    await useBackend('cpu');
    const config = reneConfig({
      dModel: 8,
      nLayer: 2,
      vocabSize: 80,
      ssm: { headDim: 8, dState: 4 },
    });
    const model = await ReneLMHeadModel.fromConfig(config, { backend: 'cpu' });
    const ids = Array.from({ length: 60 }, (_, i) => (i * 7919) % 80);
    const kept: number[] = [];
    const spy = {
      config,
      initialState: (batch?: number) => model.initialState(batch),
      forward: (...[input, options]: Parameters<ReneLMHeadModel['forward']>) => {
        const logits = model.forward(input, options);
        kept.push(logits.shape[0]);
        return logits;
      },
    };
    const scorer = new ReneScorer(spy, tokenizer, { maxLogits: 17 * 80 });
    const request = { contextIds: ids.slice(0, 20), continuationIds: ids.slice(20) };
    const [found] = await scorer.loglikelihoods([request]);
    const [expected] = await plainScores(model, [request], 4096);
    expect(found?.loglikelihood).to.be.closeTo(expected?.loglikelihood ?? Number.NaN, 1e-4);
    expect(kept).to.deep.equal([17, 17, 6]);
    model.dispose();
  });
});

describe('prefixTree', () => {
  it('feeds every token of every sequence, and predicts every scored one', () => {
    const sequence = fc.array(fc.nat(2), { minLength: 2, maxLength: 12 });
    fc.assert(
      fc.property(
        fc.array(sequence, { minLength: 1, maxLength: 12 }),
        fc.constantFrom(1, 3, Number.POSITIVE_INFINITY),
        (texts, minShared) => {
          const sequences = texts.map((ids, index) => ({ index, ids, scored: ids.length - 1 }));
          const tree = prefixTree(sequences, minShared);
          const found = new Map<number, number[]>();
          const walk = (nodes: typeof tree, before: readonly number[]): void => {
            for (const { tokens, children, targets } of nodes) {
              expect(tokens.length).to.be.at.least(1);
              const path = [...before, ...tokens];
              for (const { position, id, index } of targets) {
                const place = before.length + position;
                expect(texts[index]?.slice(0, place + 1)).to.deep.equal(path.slice(0, place + 1));
                const list = found.get(index) ?? [];
                expect(list.length).to.equal(place);
                found.set(index, [...list, id]);
              }
              walk(children, path);
            }
          };
          walk(tree, []);
          for (const [i, ids] of texts.entries()) {
            expect(found.get(i)).to.deep.equal(ids.slice(1));
          }
          const alone = texts.reduce((sum, ids) => sum + ids.length - 1, 0);
          expect(fedTokens(tree)).to.be.at.most(alone);
        },
      ),
    );
  });
});
