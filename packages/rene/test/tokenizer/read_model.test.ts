// Models of a tokenizer.json without `type`, as files from before 2021 have them.
import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import { TokenizerError } from '../../src/errors.js';
import { Tokenizer } from '../../src/tokenizer.js';

const WHITESPACE = { type: 'Whitespace' };

describe('a model without a type', () => {
  const vocab = { '[UNK]': 0, sea: 1, weed: 2, '##weed': 3, s: 4, e: 5, a: 6, se: 7, seaweed: 8 };
  const { seaweed: _, ...parts } = vocab;
  const encode = (model: object) =>
    Tokenizer.fromJson({ model, pre_tokenizer: WHITESPACE }).encode('seaweed sea');

  it('is BPE with merges', () => {
    const merges = ['s e', 'se a'];
    expect(encode({ vocab, merges, unk_token: '[UNK]' })).to.deep.equal([1, 0, 5, 5, 0, 1]);
  });

  it('is WordPiece with a prefix of parts or a longest word', () => {
    for (const option of [
      { continuing_subword_prefix: '##' },
      { max_input_chars_per_word: 100, continuing_subword_prefix: '##' },
      { max_input_chars_per_word: 100 },
    ]) {
      expect(encode({ vocab: parts, unk_token: '[UNK]', ...option })).to.deep.equal([1, 3, 1]);
    }
  });

  it('is WordLevel with words alone', () => {
    expect(encode({ vocab, unk_token: '[UNK]' })).to.deep.equal([8, 1]);
    expect(encode({ vocab: parts, unk_token: '[UNK]' })).to.deep.equal([0, 1]);
  });

  it('is Unigram with a list of scores', () => {
    const scores = [
      ['<unk>', 0],
      ['sea', -1],
      ['weed', -2],
      ['seaweed', -9],
    ];
    expect(encode({ vocab: scores, unk_id: 0 })).to.deep.equal([1, 2, 1]);
  });

  it('is refused without a vocabulary, and with a type that there is not', async () => {
    for (const model of [{}, { merges: [] }, { type: 'Trie', vocab }]) {
      const error = await errorOf(TokenizerError, () => encode(model));
      expect(error.message).to.match(
        /expected a model of type BPE, Unigram, WordPiece or WordLevel/,
      );
    }
  });
});
