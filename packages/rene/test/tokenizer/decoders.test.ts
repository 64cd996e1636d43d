// Decoders, streams after prompts, and characters on which JavaScript and Rust differ. The expected values are
// those of the tokenizers library 0.23.
import { tinyByteLevelJson, tinyMetaspaceJson } from '@rene-js/testing';
import { expect } from 'chai';
import { StopStringWatcher } from '../../src/generation/stopping.js';
import { streamAfter } from '../../src/tokenizer/decode_stream.js';
import { Tokenizer } from '../../src/tokenizer.js';

const FUSE = { type: 'Fuse' };
const METASPACE = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };

/** The text of tokens, at once and streamed. */
function decoded(decoder: object, tokens: readonly string[]): string[] {
  const words = [...new Set(tokens)];
  const vocab = Object.fromEntries(words.map((word, id) => [word, id]));
  const model = { type: 'WordLevel', vocab, unk_token: words[0] };
  const tokenizer = Tokenizer.fromJson({ decoder, model });
  const ids = tokens.map((token) => words.indexOf(token));
  const stream = tokenizer.decodeStream();
  return [tokenizer.decode(ids), ids.map((id) => stream.push(id)).join('') + stream.end()];
}

describe('decoders', () => {
  const sequence = (...decoders: object[]) => ({ type: 'Sequence', decoders });
  const replace = { type: 'Replace', pattern: { String: 'ab' }, content: '-' };
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 1 };
  const cases: [decoder: object, tokens: string[], text: string][] = [
    [METASPACE, ['▁the', '▁sea', 's'], 'the seas'],
    [sequence(FUSE, METASPACE), ['▁the', '▁sea', 's'], 'theseas'],
    [{ type: 'WordPiece', prefix: '##' }, ['##weed', 'sea', '##side', 'is'], '##weed seaside is'],
    [{ type: 'BPEDecoder', suffix: '' }, ['a😀', 'b'], ' a 😀 b'],
    [{ type: 'BPEDecoder', suffix: '</w>' }, ['a', 'b</w>', 'c</w>'], 'ab c'],
    [sequence(replace), ['xa', 'ba', 'a', 'b'], 'xabaab'],
    [sequence(FUSE, replace), ['xa', 'ba', 'a', 'b'], 'x-a-'],
    [sequence(FUSE, { type: 'ByteFallback' }), ['<0xE6>', '<0x97>'], '<0xE6><0x97>'],
    [sequence(FUSE, { type: 'ByteFallback' }), ['<0x', '41>'], 'A'],
    [sequence({ type: 'ByteFallback' }, FUSE, strip), [' a', ' b ', ' '], 'a b '],
  ];
  for (const [decoder, tokens, text] of cases) {
    it(`${JSON.stringify(decoder)}: ${tokens.join(' ')}`, () => {
      expect(decoded(decoder, tokens)).to.deep.equal([text, text]);
    });
  }
});

describe('a stream after a prompt', () => {
  it('completes a character of the prompt, however long its bytes are', () => {
    const bytes = Tokenizer.fromJson(tinyByteLevelJson());
    const ids = bytes.encode('a👍b');
    for (const from of [1, 2, 3, 4]) {
      const stream = bytes.decodeStream({ promptIds: ids.slice(0, from) });
      const text =
        ids
          .slice(from)
          .map((id) => stream.push(id))
          .join('') + stream.end();
      expect(text, `${from}`).to.equal('👍b');
    }
    const fallback = Tokenizer.fromJson(tinyMetaspaceJson());
    const all = fallback.encode('日本語日');
    const after = fallback.decodeStream({ promptIds: all.slice(0, -1) });
    expect(after.push(all.at(-1) ?? -1) + after.end()).to.equal('日本語日');
  });

  it('is cut between characters that begin with the same surrogate', () => {
    const stream = streamAfter({ push: () => '😁', end: () => '' }, '😀');
    expect(stream.push(0)).to.equal('😁');
  });

  it('is searched for stop strings with the space before its first word', () => {
    const tokenizer = Tokenizer.fromJson(tinyMetaspaceJson());
    const [word = -1] = tokenizer.encode('ab');
    const watcher = new StopStringWatcher([' ab'], tokenizer, tokenizer.encode('a'));
    expect(watcher.push(word)).to.equal(true);
    expect(new StopStringWatcher([' ab'], tokenizer).push(word)).to.equal(false);
  });
});

describe('characters', () => {
  const letters = { type: 'WordLevel', vocab: { '?': 0 }, unk_token: '?' };
  const pieces = (pre_tokenizer: object, text: string) =>
    Tokenizer.fromJson({ pre_tokenizer, model: letters }).encode(text).length;

  it('are punctuation by the tables of the library', () => {
    for (const type of ['Punctuation', 'BertPreTokenizer']) {
      expect(pieces({ type }, 'a\u2e52b'), type).to.equal(1);
      expect(pieces({ type }, 'a\u1b7db'), type).to.equal(1);
      expect(pieces({ type }, 'a\u166db'), type).to.equal(3);
      expect(pieces({ type }, 'a!b'), type).to.equal(3);
    }
  });

  it('are lower-cased one by one, a final sigma too', () => {
    const model = { type: 'WordLevel', vocab: { '?': 0, 'οδυσσευσ σασ': 1 }, unk_token: '?' };
    const tokenizer = Tokenizer.fromJson({ normalizer: { type: 'Lowercase' }, model });
    expect(tokenizer.encode('ΟΔΥΣΣΕΥΣ ΣΑΣ')).to.deep.equal([1]);
  });

  it('are white space around added tokens as in Rust', () => {
    const vocab = { a: 0, '<m>': 1, '\ufeff': 2, '\u0085': 3, ' ': 4 };
    const token = { id: 1, content: '<m>', lstrip: true, rstrip: true, special: true };
    const tokenizer = Tokenizer.fromJson({
      added_tokens: [token],
      model: { type: 'BPE', vocab, merges: [] },
    });
    for (const [text, ids] of [
      ['a\ufeff<m>\ufeffa', [0, 2, 1, 2, 0]],
      ['a\u0085<m>\u0085a', [0, 1, 0]],
      ['a \ufeff<m>\u0085 a', [0, 4, 2, 1, 0]],
    ] as const) {
      expect(tokenizer.encode(text), JSON.stringify(text)).to.deep.equal(ids);
    }
  });

  it('that are half a pair count as U+FFFD', () => {
    const vocab = { a: 0, '\ufffd': 1, '😀': 2 };
    const tokenizer = Tokenizer.fromJson({ model: { type: 'BPE', vocab, merges: [] } });
    expect(tokenizer.encode('\ud83da\ude00😀')).to.deep.equal([1, 0, 1, 2]);
  });
});
