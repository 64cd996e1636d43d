import { InvalidArgumentError } from '@rene-js/layers';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  encodeDocuments,
  epochRows,
  splitTexts,
  type TokenDocuments,
  TokenRows,
} from '../../src/training/token_dataset.js';

const EOS = 0;

/** Each character is its character code; eos is 0. */
const byCharacter = {
  encode: (text: string) => Array.from(text, (c) => c.charCodeAt(0)),
  eosId: EOS,
  vocabSize: 128,
};

/** Documents without common ids, so that a row's tokens identify their document. */
function numbered(lengths: readonly number[]): TokenDocuments {
  let next = 1;
  const texts = lengths.map((length) => Array.from({ length }, () => next++));
  return encodeDocuments(
    texts.map((ids) => ids.join(' ')),
    { encode: (text) => text.split(' ').map(Number), eosId: EOS, vocabSize: 1 << 20 },
  );
}

const documentLengths = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 40 });
const rowLength = fc.integer({ min: 2, max: 24 });

describe('TokenRows', () => {
  it('ends each document with eos and counts the bytes', () => {
    const { ids, starts, bytes } = encodeDocuments(['ab', '', 'cé'.normalize('NFD'), 'd'], {
      ...byCharacter,
      vocabSize: 1000,
    });
    expect([...ids]).to.deep.equal([97, 98, 0, 99, 101, 0x301, 0, 100, 0]);
    expect([...starts]).to.deep.equal([0, 3, 7, 9]);
    expect(bytes).to.equal(3 + 5 + 2);
    expect(ids).to.be.instanceOf(Uint16Array);
  });

  it('evaluates every token once, after its previous token', () => {
    fc.assert(
      fc.property(documentLengths, rowLength, (lengths, length) => {
        const documents = numbered(lengths);
        const rows = new TokenRows(documents, length);
        const seen: number[] = [];
        for (let row = 0; row < rows.count; row++) {
          const { inputs, targets, counted } = rows.evaluationBatch(row, 1);
          const kept = [...targets].filter((target) => target >= 0);
          expect(kept).to.have.length(counted);
          kept.forEach((target, i) => {
            const before = documents.ids[seen.length + i - 1] ?? EOS;
            expect(inputs[i], `input of ${target}`).to.equal(before);
          });
          seen.push(...kept);
        }
        expect(seen).to.deep.equal([...documents.ids]);
      }),
    );
  });

  it("trains on rows that start at a document's start, and on all tokens except their first", () => {
    fc.assert(
      fc.property(documentLengths, rowLength, (lengths, length) => {
        const documents = numbered(lengths);
        const rows = new TokenRows(documents, length);
        const all = rows.trainingBatch(0, rows.count);
        const targets = new Set(all.targets);
        const starts = new Set([...documents.starts.slice(0, -1)].map((at) => documents.ids[at]));
        for (let row = 0; row < rows.count; row++) {
          const first = all.inputs[row * length] ?? -1;
          const target = all.targets[row * length] ?? -1;
          if (first === EOS) expect(starts.has(target) || target === -1).to.equal(true);
        }
        for (const id of documents.ids) {
          if (!targets.has(id)) expect(starts.has(id), `token ${id}`).to.equal(true);
        }
      }),
    );
  });

  it('pairs each input with the next token', () => {
    fc.assert(
      fc.property(documentLengths, rowLength, (lengths, length) => {
        const documents = numbered(lengths);
        const rows = epochRows(documents, length, 'seed', 3);
        const { inputs, targets } = rows.trainingBatch(0, rows.count);
        const lastOf = new Set([...documents.starts.slice(1)].map((end) => documents.ids[end - 2]));
        inputs.forEach((input, i) => {
          const target = targets[i] ?? -1;
          if (input === EOS || target === -1) return;
          expect(target).to.equal(lastOf.has(input) ? EOS : input + 1);
        });
      }),
    );
  });

  it('shuffles each epoch by the seed', () => {
    const documents = numbered(Array.from({ length: 50 }, () => 5));
    const inputsOf = (seed: string, epoch: number) => {
      const rows = epochRows(documents, 16, seed, epoch);
      return [...rows.trainingBatch(0, rows.count).inputs].join();
    };
    expect(inputsOf('a', 0)).to.equal(inputsOf('a', 0));
    expect(inputsOf('a', 0)).not.to.equal(inputsOf('a', 1));
    expect(inputsOf('a', 0)).not.to.equal(inputsOf('b', 0));
  });

  it('repeats documents within an epoch', () => {
    const documents = { ...numbered([3, 3, 3]), repeats: Uint8Array.from([1, 4, 2]) };
    const rows = epochRows(documents, 64, 'seed', 0);
    const { targets, inputs } = rows.trainingBatch(0, rows.count);
    // The second token of each document, which is an input in any row.
    const counts = [2, 5, 8].map((id) => inputs.filter((input) => input === id).length);
    expect(counts).to.deep.equal([1, 4, 2]);
    expect(targets.filter((target) => target > 0 || target === EOS)).to.have.length(7 * 4);
  });

  it('refuses missing rows, short rows and ids outside the vocabulary', () => {
    const documents = numbered([5, 5]);
    expect(() => new TokenRows(documents, 1)).to.throw(InvalidArgumentError, /length/);
    expect(() => new TokenRows(documents, 8).trainingBatch(1, 5)).to.throw(
      InvalidArgumentError,
      /rows/,
    );
    expect(() => encodeDocuments(['é'], byCharacter)).to.throw(InvalidArgumentError, /below 128/);
    expect(() => encodeDocuments(['', ''], byCharacter)).to.throw(/at least one document/);
  });
});

describe('splitTexts', () => {
  it('puts every text on one side, the same ones for the same seed', () => {
    const texts = Array.from({ length: 200 }, (_, i) => `text ${i}`);
    const [rest, heldOut] = splitTexts(texts, 0.1, 'seed');
    expect(heldOut).to.have.length(20);
    expect([...rest, ...heldOut].toSorted()).to.deep.equal(texts.toSorted());
    expect(splitTexts(texts, 0.1, 'seed')).to.deep.equal([rest, heldOut]);
    expect(splitTexts(texts, 0.1, 'other')).not.to.deep.equal([rest, heldOut]);
  });

  it('refuses a fraction outside of (0, 1) and a single line', () => {
    expect(() => splitTexts(['a', 'b'], 1, 's')).to.throw(InvalidArgumentError);
    expect(() => splitTexts(['a'], 0.5, 's')).to.throw(/at least two documents/);
  });
});
