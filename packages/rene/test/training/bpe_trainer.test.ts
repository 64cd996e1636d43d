import { Tokenizer } from '@huggingface/tokenizers';
import { InvalidArgumentError } from '@rene-js/layers';
import { expect } from 'chai';
import fc from 'fast-check';
import { tokenizerJson, trainBpe } from '../../src/training/bpe_trainer.js';

const TEXTS = [
  'A torr is a unit of pressure equal to 0.001316 atmosphere; named after Torricelli.',
  "You'd better back up these files! They're the king's, and we'll be late.",
  'René Descartes était né à La Haye en Touraine — 🎓🇫🇷 naïve café.',
  'low low low low low lower lower newest newest newest newest newest newest widest widest widest',
];

function load(texts: string[], vocabSize: number): Tokenizer {
  return new Tokenizer(JSON.parse(tokenizerJson(trainBpe(texts, { vocabSize }))), {});
}

describe('trainBpe', () => {
  it('round-trips any text, in any script', () => {
    const tokenizer = load(TEXTS, 300);
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }), (raw) => {
        const text = raw.normalize('NFC');
        const { ids } = tokenizer.encode(text);
        expect(Math.max(...ids, 0)).to.be.below(300);
        expect(tokenizer.decode(ids, { skip_special_tokens: false })).to.equal(text);
      }),
    );
    for (const text of [...TEXTS, '👩‍👩‍👧 \n\n\t x  y', ' a', '日本語']) {
      expect(tokenizer.decode(tokenizer.encode(text).ids)).to.equal(text.normalize('NFC'));
    }
  });

  it('merges the most frequent pair first', () => {
    const { merges } = trainBpe(['aab aab b'], { vocabSize: 258 + 3 });
    // a+a and a+b occur twice each, as does space+a once the first word has none: the ids decide.
    expect(merges).to.deep.equal([
      ['a', 'a'],
      ['aa', 'b'],
      ['Ġ', 'b'],
    ]);
  });

  it('equals the merges of a trainer that recounts everything each time', () => {
    const alphabet = fc.constantFrom('a', 'b', 'c', ' ', 'ab');
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 80 }), (parts) => {
        const text = parts.join('');
        const { merges } = trainBpe([text], { vocabSize: 258 + 12 });
        expect(merges.map((pair) => pair.join('+'))).to.deep.equal(recountedMerges(text, 12));
      }),
    );
  });

  it('does not depend on the order of the texts', () => {
    const forward = tokenizerJson(trainBpe(TEXTS, { vocabSize: 350 }));
    expect(tokenizerJson(trainBpe(TEXTS.toReversed(), { vocabSize: 350 }))).to.equal(forward);
  });

  it('gives the first ids to the special tokens', () => {
    const tokenizer = load(TEXTS, 280);
    expect(tokenizer.encode('<|endoftext|>a<|padding|>').ids).to.deep.equal([0, 2 + 97, 1]);
    expect(tokenizer.decode([0, 2 + 97, 1], { skip_special_tokens: true })).to.equal('a');
  });

  it('stops early if the text has no pair left', () => {
    expect(trainBpe(['ab'], { vocabSize: 1000 }).tokens).to.have.length(259);
  });

  it('refuses a vocabulary too small for the bytes', () => {
    expect(() => trainBpe(TEXTS, { vocabSize: 200 })).to.throw(InvalidArgumentError, /vocabSize/);
    expect(() => trainBpe(TEXTS, { vocabSize: 300, specialTokens: ['<s>', '<s>'] })).to.throw(
      InvalidArgumentError,
      /specialTokens/,
    );
  });
});

/** The same merges by brute force: count all pairs, merge the best, repeat. Latin text only. */
function recountedMerges(text: string, count: number): string[] {
  const visible = text.replaceAll(' ', 'Ġ');
  const words = (visible.match(/Ġ?[a-z]+|Ġ+(?![a-z])|Ġ+/g) ?? []).map((word) => [...word]);
  const order = new Map<string, number>();
  for (let byte = 0; byte < 128; byte++) {
    order.set(byte === 32 ? 'Ġ' : String.fromCharCode(byte), byte);
  }
  const merges: string[] = [];
  for (let step = 0; step < count; step++) {
    const counts = new Map<string, number>();
    for (const word of words) {
      word.slice(1).forEach((right, i) => {
        const key = `${word[i]}+${right}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      });
    }
    const rank = (key: string) => key.split('+').map((token) => order.get(token) ?? -1);
    const best = [...counts].sort(([a, m], [b, n]) => {
      const [aLeft = 0, aRight = 0] = rank(a);
      const [bLeft = 0, bRight = 0] = rank(b);
      return n - m || aLeft - bLeft || aRight - bRight;
    })[0]?.[0];
    if (best === undefined) break;
    merges.push(best);
    const [left = '', right = ''] = best.split('+');
    if (!order.has(left + right)) order.set(left + right, 1000 + step);
    words.forEach((word, w) => {
      const next: string[] = [];
      for (let i = 0; i < word.length; i++) {
        const merge = word[i] === left && word[i + 1] === right;
        next.push(merge ? left + right : (word[i] ?? ''));
        if (merge) i++;
      }
      words[w] = next;
    });
  }
  return merges;
}
