import { expect } from 'chai';
import fc from 'fast-check';
import { shownUrl } from '../../src/scale_out/redis.js';
import { slicesOf } from '../../src/scale_out/slices.js';
import { outcomeFromText, outcomeToText, type WorkItem } from '../../src/scale_out/work.js';

describe('slices', () => {
  it('have every item once, and the choices of a document together', () => {
    const context = fc.array(fc.nat(3), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(fc.uniqueArray(context, { maxLength: 80, selector: String }), (contexts) => {
        const items = contexts.flatMap((contextIds, d): WorkItem[] =>
          [7, 8, 9].map((id) => ({
            id: `${d}:${id}`,
            work: { kind: 'score', contextIds, continuationIds: [id], maxLength: 10 },
          })),
        );
        const slices = slicesOf(items);
        expect(slices.flat()).to.have.members(items);
        for (const [d] of contexts.entries()) {
          const holding = slices.filter((slice) => slice.some(({ id }) => id.startsWith(`${d}:`)));
          expect(holding).to.have.length(1);
        }
        for (const slice of slices.slice(0, -1)) expect(slice.length).to.be.within(64, 66);
      }),
    );
  });

  it('put requests with a common beginning next to each other', () => {
    const items = Array.from({ length: 32 }, (_, i): WorkItem => {
      const prompt = `subject ${i % 4}: question ${i}`;
      return { id: `${i}`, work: { kind: 'request', request: { url: '/', body: { prompt } } } };
    });
    const subjects = slicesOf(items).map((slice) => new Set(slice.map(({ id }) => Number(id) % 4)));
    expect(subjects.map(({ size }) => size)).to.deep.equal([1, 1, 1, 1]);
  });

  it('have results that keep every number', () => {
    const number = fc.oneof(fc.double(), fc.constantFrom(-0, Number.NEGATIVE_INFINITY));
    fc.assert(
      fc.property(number, fc.boolean(), (loglikelihood, isGreedy) => {
        const outcome = { kind: 'score', score: { loglikelihood, isGreedy } } as const;
        const found = outcomeFromText(outcomeToText(outcome));
        const same = found.kind === 'score' && found.score.loglikelihood === loglikelihood;
        expect(same || Number.isNaN(loglikelihood)).to.equal(true);
      }),
    );
  });
});

describe('the URL of a queue', () => {
  it('is shown without its password, and refused where it is none', () => {
    expect(shownUrl('redis://me:secret@box:6379/2')).to.equal('redis://box:6379/2');
    expect(shownUrl('rediss://box')).to.equal('rediss://box');
    for (const url of ['', 'box:6379', 'http://me:secret@box', 'redis://']) {
      expect(() => shownUrl(url))
        .to.throw('--queue: expected redis://HOST:PORT')
        .and.not.match(/secret/);
    }
  });
});
