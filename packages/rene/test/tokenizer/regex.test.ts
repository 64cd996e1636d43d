// Regular expressions of tokenizer files match like Oniguruma's, within a step limit.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { TokenizerError } from '../../src/errors.js';
import { Fields } from '../../src/tokenizer/fields.js';
import type { Pattern } from '../../src/tokenizer/native_pattern.js';
import { replaceAll, StringPattern } from '../../src/tokenizer/pattern.js';
import { RegexMachine } from '../../src/tokenizer/regex_machine.js';
import { RegexPattern } from '../../src/tokenizer/regex_pattern.js';
import { parseRegex } from '../../src/tokenizer/regex_tree.js';
import { split } from '../../src/tokenizer/split.js';
import { Tokenizer } from '../../src/tokenizer.js';

interface Vectors {
  texts: string[];
  /** A pattern and the pieces of each text, with isolated matches. */
  patterns: [string, string[][]][];
}

/** Written by reference.py. */
const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../../../test/tokenizer/regexes.json', import.meta.url), 'utf8'),
);

function pieces(pattern: Pattern, text: string): string[] {
  return [...split(text, pattern, 'Isolated')].map(({ start, end }) => text.slice(start, end));
}

/** A tokenizer that splits at matches of a pattern. */
function splitting(regex: string): Tokenizer {
  return Tokenizer.fromJson({
    pre_tokenizer: { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated' },
    model: { type: 'WordLevel', vocab: { x: 0 }, unk_token: 'x' },
  });
}

function errorOf(action: () => unknown): TokenizerError {
  try {
    action();
  } catch (error) {
    if (error instanceof TokenizerError) return error;
    throw error;
  }
  throw new Error('expected a TokenizerError');
}

describe('regular expressions of tokenizers', () => {
  for (const [source, expected] of vectors.patterns) {
    it(`match like Oniguruma: ${source}`, () => {
      const pattern = new RegexPattern(source);
      const machine = new RegexMachine(parseRegex(source), source);
      vectors.texts.forEach((text, i) => {
        expect(pieces(pattern, text), JSON.stringify(text)).to.deep.equal(expected[i]);
        expect(pieces(machine, text), `by steps: ${JSON.stringify(text)}`).to.deep.equal(
          expected[i],
        );
      });
    });
  }

  it('stop at the step limit if they backtrack without end', () => {
    const cases: [regex: string, text: string][] = [
      ['(x+x+)+y', 'x'.repeat(50)],
      ['(?:x?){40}x{40}', 'x'.repeat(40)],
      ['(?i:(x*)*)y', 'X'.repeat(60)],
      ['\\s*\\n', ' '.repeat(30_000)],
    ];
    for (const [regex, text] of cases) {
      const error = errorOf(() => splitting(regex).encode(text));
      expect(error.message, regex).to.contain(regex).and.to.contain('backtracks too long');
    }
  });

  it('accept long texts otherwise', () => {
    const long = 'word'.repeat(20_000);
    const spaces = ' '.repeat(20_000);
    for (const regex of [
      '(?:wo|rd)+',
      '\\p{L}+',
      '(?>\\p{L}+)',
      '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+|\\S+',
    ]) {
      expect(splitting(regex).encode(long), regex).to.have.length(1);
      expect(splitting(regex).encode(`${spaces}a`).length, regex).to.be.lessThan(4);
    }
  });

  it('are refused by name if they are not supported', () => {
    const cases: [regex: string, part: RegExp][] = [
      ['(', /parenthesis|group/i],
      ['[z-a]', /range/i],
      ['\\p{Klingon}', /Klingon/],
      ['(?~ab)', /Absence/],
      ['\\X', /\\X/],
      ['(?<a>x\\g<a>?)', /Subroutine/],
      ['a{1,100000}', /repetition|interval|quantifier/i],
    ];
    for (const [regex, part] of cases) {
      const error = errorOf(() => splitting(regex));
      expect(error.message).to.match(part).and.to.contain(regex);
    }
  });

  it('replace each match by a literal text', () => {
    expect(replaceAll('a1b22c', new RegexPattern('\\d+'), '$&')).to.equal('a$&b$&c');
    expect(replaceAll('a.b.', new StringPattern('.'), '')).to.equal('ab');
    expect(replaceAll('ab', new RegexPattern('x*'), '-')).to.equal('-a-b-');
  });

  it('a missing pattern is reported with its field', () => {
    const fields = new Fields({ type: 'Split', pattern: { Regexp: 'a' } }, 't.json: pre_tokenizer');
    const error = errorOf(() => new RegexPattern(fields.object('pattern').string('Regex')));
    expect(error.message).to.equal(
      't.json: pre_tokenizer.pattern.Regex: expected a string, found nothing',
    );
  });
});
