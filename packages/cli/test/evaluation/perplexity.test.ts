// Perplexity: windows that score every token once, and values derived from the sum.

import { ReneLMHeadModel } from '@rene-js/rene';
import { errorOf, golden } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import { EvaluationError } from '../../src/evaluation/errors.js';
import { perplexity, rollingWindows } from '../../src/evaluation/perplexity.js';
import type { TokenRequest } from '../../src/evaluation/requests.js';
import { ReneScorer } from '../../src/evaluation/scoring/rene_scorer.js';

describe('rollingWindows', () => {
  it('equal those of the harness', () => {
    const ids = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
    expect(rollingWindows(ids, 0, 4, 1)).to.deep.equal([
      { contextIds: [0], continuationIds: [10, 11, 12, 13] },
      { contextIds: [13], continuationIds: [14, 15, 16, 17] },
      { contextIds: [15, 16, 17], continuationIds: [18, 19] },
    ]);
  });

  it('score every token once, with at least the requested context, within the length', () => {
    const lengths = fc
      .integer({ min: 1, max: 12 })
      .chain((maxLength) =>
        fc.tuple(fc.constant(maxLength), fc.integer({ min: 1, max: maxLength })),
      );
    fc.assert(
      fc.property(fc.nat(40), lengths, (count, [maxLength, context]) => {
        const ids = Array.from({ length: count }, (_, i) => i + 1);
        const windows = rollingWindows(ids, 0, maxLength, context);
        expect(windows.flatMap((w) => w.continuationIds)).to.deep.equal(ids);
        windows.forEach(({ contextIds, continuationIds }, i) => {
          const text = [...contextIds, ...continuationIds];
          expect(text.length).to.be.at.most(maxLength + 1);
          expect(text).to.deep.equal(text.map((_, k) => (text[0] ?? 0) + k));
          if (i > 0) expect(contextIds.length).to.be.at.least(context);
        });
      }),
    );
  });
});

describe('perplexity', () => {
  it("equals the model's loss, per word, byte and bit", async () => {
    const model = await ReneLMHeadModel.fromPretrained(golden('tiny-hybrid'), { backend: 'cpu' });
    const tokenizer = {
      encode: (text: string) => [...text].map((c) => c.charCodeAt(0) % 80),
      eosTokenId: 5,
    };
    const scorer = new ReneScorer(model, tokenizer, { maxLength: 8 });
    const texts = ['two words', 'ünd more'];
    const found = await perplexity(scorer, texts);
    let sum = 0;
    for (const text of texts) {
      for (const { contextIds, continuationIds } of rollingWindows(
        tokenizer.encode(text),
        5,
        8,
        1,
      )) {
        sum += await plain(model, { contextIds, continuationIds });
      }
    }
    model.dispose();
    expect(found.loglikelihood).to.be.closeTo(sum, 1e-4);
    expect(found).to.include({ documents: 2, tokens: 17, words: 4, bytes: 18 });
    expect(Math.log(found.wordPerplexity)).to.be.closeTo(-sum / 4, 1e-4);
    expect(found.bitsPerByte).to.be.closeTo(-sum / 18 / Math.log(2), 1e-4);
    expect(Math.log2(found.bytePerplexity)).to.be.closeTo(found.bitsPerByte, 1e-9);
    const error = await errorOf(EvaluationError, () => perplexity(scorer, texts, { context: 9 }));
    expect(error.message).to.include('--context');
    await errorOf(EvaluationError, () => perplexity(scorer, []));
  });
});

async function plain(model: ReneLMHeadModel, { contextIds, continuationIds }: TokenRequest) {
  const ids = [...contextIds, ...continuationIds];
  const logits = model.forward([ids.slice(0, -1)]);
  const rows = await logits.array();
  logits.dispose();
  return continuationIds.reduce((sum, id, i) => {
    const row = rows[0]?.[contextIds.length - 1 + i] ?? [];
    return sum + (row[id] ?? 0) - Math.log(row.reduce((s, v) => s + Math.exp(v), 0));
  }, 0);
}
