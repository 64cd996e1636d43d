// Evaluation with states of earlier runs: the same scores to the bit, and shared contexts are not read again.
import { useBackend } from '@rene-js/layers';
import { ReneLMHeadModel } from '@rene-js/rene';
import { PrefixFiles } from '@rene-js/rene/internal';
import { golden, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { ReneScorer } from '../../src/evaluation/scoring/rene_scorer.js';
import { SharedStates } from '../../src/evaluation/scoring/shared_states.js';
import { stateIdentity } from '../../src/model_identity.js';

const tokenizer = { encode: () => [], eosTokenId: 0 };
const words = (length: number, seed: number) =>
  Array.from({ length }, (_, i) => (i * i * 7 + seed * 13 + i) % 80);

/** Subjects with few-shot examples, questions of four choices. */
const subject = (seed: number, questions: number) =>
  Array.from({ length: questions }, (_, q) => {
    const contextIds = [...words(8, 0), ...words(150, seed), ...words(9, 100 + seed * 20 + q)];
    return [1, 2, 3, 4].map((id) => ({ contextIds, continuationIds: [id, q % 5] }));
  }).flat();

describe('states that evaluations share', () => {
  const folder = temporaryFolders();
  let model: ReneLMHeadModel;
  before(async () => {
    await useBackend('simd');
    model = await ReneLMHeadModel.fromPretrained(golden('tiny-hybrid'), { backend: 'simd' });
  });
  after(() => model.dispose());

  it('give the same scores, and are read once over all runs', async () => {
    const dir = folder();
    const requests = [...subject(1, 6), ...subject(2, 6)];
    const run = async (shared: SharedStates | undefined, of = requests) => {
      const scorer = new ReneScorer(model, tokenizer, { shared });
      let progress = 0;
      const results = await scorer.loglikelihoods(of, {
        onProgress: (share) => {
          progress = share;
        },
      });
      expect(progress).to.equal(1);
      return { results, fed: scorer.tokensFed };
    };
    const states = async () => {
      const files = await PrefixFiles.open(dir, 'm', model, 1e9);
      return new SharedStates(files, (error) => {
        throw error;
      });
    };
    const plain = await run(undefined);
    const first = await run(await states());
    expect(first.results).to.deep.equal(plain.results);
    const second = await run(await states());
    expect(second.results).to.deep.equal(plain.results);
    expect(plain.fed - second.fed, 'two contexts less').to.be.within(2 * 150, 2 * 160);
    // Another subject shares its first words with them.
    const other = [...requests, ...subject(3, 6)];
    const more = await run(await states(), other);
    expect(more.results).to.deep.equal((await run(undefined, other)).results);
  });

  it('are kept apart by model, dtype and backend', async () => {
    const { parameters } = model;
    const names = await Promise.all([
      stateIdentity(golden('tiny-hybrid'), model, undefined),
      stateIdentity(golden('tiny-hybrid'), { parameters, backend: 'cpu' }, undefined),
      stateIdentity(golden('tiny-gqa'), model, undefined),
      stateIdentity(golden('tiny-hybrid'), model, 'https://a.example/adapter'),
    ]);
    expect(new Set(names)).to.have.property('size', 4);
    for (const name of names) expect(name).to.match(/^[0-9a-f]{32}$/);
  });
});
