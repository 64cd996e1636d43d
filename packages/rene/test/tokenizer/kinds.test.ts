// Tokenizers of every kind against the tokenizers library: ids, texts, and texts that are streamed.
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { type DecodeOptions, Tokenizer } from '../../src/tokenizer.js';

/** Written by reference.py; the sources are not in dist. */
const FIXTURES = new URL('../../../test/tokenizer/fixtures/', import.meta.url);

interface Kind {
  tokenizer: unknown;
  /** A text, its ids, and those without special tokens. */
  encode: [string, number[], number[]][];
  /** Ids, their text, and that without special tokens. */
  decode: [number[], string, string][];
}

const SKIPS: DecodeOptions[] = [{}, { skipSpecialTokens: true }];

/** What a stream gives; each piece must be whole characters. */
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
      // Ids such as a model makes: any, and the tokens of bytes more often.
      const bytes = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) =>
        tokenizer.token(id)?.startsWith('<0x'),
      );
      const id = fc.nat(tokenizer.vocabSize + 1);
      const ids = fc.array(bytes.length > 0 ? fc.oneof(id, fc.constantFrom(...bytes)) : id, {
        maxLength: 30,
      });

      it('encodes as the library does', () => {
        for (const [text, expected, bare] of kind.encode) {
          expect(tokenizer.encode(text), text).to.deep.equal(expected);
          expect(tokenizer.encode(text, { addSpecialTokens: false }), text).to.deep.equal(bare);
        }
      });

      it('decodes as the library does', () => {
        for (const [ids, ...texts] of kind.decode) {
          const found = SKIPS.map((options) => tokenizer.decode(ids, options));
          expect(found, ids.join(' ')).to.deep.equal(texts);
        }
      });

      it('streams what it decodes', () => {
        fc.assert(
          fc.property(ids, fc.constantFrom(...SKIPS), (ids, options) => {
            expect(streamed(tokenizer, ids, options)).to.equal(tokenizer.decode(ids, options));
          }),
        );
      });

      it('streams what comes after a prompt', () => {
        const cases = fc.tuple(ids, ids, fc.constantFrom(...SKIPS));
        fc.assert(
          fc.property(cases, ([prompt, more, options]) => {
            const before = tokenizer.decode(prompt, options);
            const whole = tokenizer.decode([...prompt, ...more], options);
            // New bytes can turn the prompt's last ones into another text.
            fc.pre(whole.startsWith(before));
            expect(before + streamed(tokenizer, more, options, prompt)).to.equal(whole);
          }),
        );
      });

      it("texts of single tokens join to the text, but for the first one's space", () => {
        for (const [text] of kind.encode) {
          const ids = tokenizer.encode(text, { addSpecialTokens: false });
          const joined = ids.map((id) => tokenizer.tokenText(id)).join('');
          const whole = tokenizer.decode(ids);
          // Characters of several tokens are U+FFFD in each; a repeated token is left out by CTC.
          if (joined.includes('\uFFFD') || file === 'ctc.json') continue;
          expect(joined.trim(), text).to.equal(whole.trim());
        }
      });
    });
  }
});
