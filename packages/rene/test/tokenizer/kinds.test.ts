// Tokenizers of every kind compared with the tokenizers library: ids, texts, and streamed texts.
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { type DecodeOptions, Tokenizer } from '../../src/tokenizer.js';

/** Written by reference.py. Sources are not in dist. */
const FIXTURES = new URL('../../../test/tokenizer/fixtures/', import.meta.url);

interface Kind {
  tokenizer: unknown;
  /** A text, its ids, and its ids without special tokens. */
  encode: [string, number[], number[]][];
  /** Ids, their text, and their text without special tokens. */
  decode: [number[], string, string][];
}

const SKIPS: DecodeOptions[] = [{}, { skipSpecialTokens: true }];

/** The pieces of a stream, each of which must be whole characters. */
function streamed(
  tokenizer: Tokenizer,
  ids: readonly number[],
  options: DecodeOptions,
  promptIds?: readonly number[],
): string {
  const stream = tokenizer.decodeStream(promptIds ? { ...options, promptIds } : options);
  const pieces = [...ids.map((id) => stream.push(id)), stream.end()];
  for (const piece of pieces) expect(piece).not.to.match(/\p{Surrogate}/u);
  return pieces.join('');
}

describe('tokenizer kinds', () => {
  for (const file of readdirSync(FIXTURES)) {
    describe(file.replace('.json', ''), () => {
      const kind: Kind = JSON.parse(readFileSync(new URL(file, FIXTURES), 'utf8'));
      const tokenizer = Tokenizer.fromJson(kind.tokenizer);
      // Random ids as from a model, with more byte tokens.
      const bytes = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) =>
        tokenizer.token(id)?.startsWith('<0x'),
      );
      const id = fc.nat(tokenizer.vocabSize + 1);
      const ids = fc.array(bytes.length > 0 ? fc.oneof(id, fc.constantFrom(...bytes)) : id, {
        maxLength: 30,
      });

      it('encodes like the library', () => {
        for (const [text, expected, bare] of kind.encode) {
          expect(tokenizer.encode(text), text).to.deep.equal(expected);
          expect(tokenizer.encode(text, { addSpecialTokens: false }), text).to.deep.equal(bare);
        }
      });

      it('decodes like the library', () => {
        for (const [ids, ...texts] of kind.decode) {
          const found = SKIPS.map((options) => tokenizer.decode(ids, options));
          expect(found, ids.join(' ')).to.deep.equal(texts);
        }
      });

      it('streams the decoded text', () => {
        fc.assert(
          fc.property(ids, fc.constantFrom(...SKIPS), (ids, options) => {
            expect(streamed(tokenizer, ids, options)).to.equal(tokenizer.decode(ids, options));
          }),
        );
      });

      it('streams the text after a prompt', () => {
        const cases = fc.tuple(ids, ids, fc.constantFrom(...SKIPS));
        fc.assert(
          fc.property(cases, ([prompt, more, options]) => {
            const before = tokenizer.decode(prompt, options);
            const whole = tokenizer.decode([...prompt, ...more], options);
            // New bytes can change the text of the prompt's last ones.
            fc.pre(whole.startsWith(before));
            expect(before + streamed(tokenizer, more, options, prompt)).to.equal(whole);
          }),
        );
      });

      it("texts of single tokens join to the text, except for the first one's space", () => {
        for (const [text] of kind.encode) {
          const ids = tokenizer.encode(text, { addSpecialTokens: false });
          const joined = ids.map((id) => tokenizer.tokenText(id)).join('');
          const whole = tokenizer.decode(ids);
          // Characters of several tokens are U+FFFD in each; CTC removes repeated tokens.
          if (joined.includes('\uFFFD') || file === 'ctc.json') continue;
          expect(joined.trim(), text).to.equal(whole.trim());
        }
      });
    });
  }
});
