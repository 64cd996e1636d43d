// The tokenizer: round trips, streaming of whole characters, special tokens, errors.
import { existsSync, readFileSync } from 'node:fs';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { InvalidArgumentError } from '@rene-js/layers';
import { errorOf, shared, tinyByteLevelJson, tinyMetaspaceJson } from '@rene-js/testing';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { CheckpointError, TokenizerError } from '../../src/errors.js';
import { type DecodeStream, Tokenizer } from '../../src/tokenizer.js';

const OLMO = shared('tokenizers/olmo-dolma-v1_5.json');

const TEXTS = [
  'Rene Descartes was a French mathematician, philosopher, and scientist.',
  '👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 👍🏽 𝒳 𠜎',
  '日本語のテキスト、中文文本，한국어 텍스트',
  'A\u030A a\u0323\u0302 Z\u0351\u036B\u0343 zalgo: h\u0321\u0322e\u0323',
  'nul \u0000 bell \u0007 escape \u001b[0m delete \u007f \u0085 \u200b \u202e \uFEFF end',
  '  leading, trailing  \n\n\ttabs\t\r\n and     spaces                         ',
  "it's they'll 1234567890 3.14159e-10 ~!@#$%^&*()_+{}|:<>?",
  'العربية עברית हिन्दी ไทย',
];

/** No lone half of a surrogate pair. */
function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

function streamed(stream: DecodeStream, ids: readonly number[]): string[] {
  return [...ids.map((id) => stream.push(id)), stream.end()];
}

/** The value with a wrong type, which type-checked programs cannot pass. */
function untyped(value: unknown): never {
  return value as never;
}

describe('Tokenizer', () => {
  const tiny = Tokenizer.fromJson(tinyByteLevelJson());

  it('encodes with merges and decodes to the text', () => {
    const ids = tiny.encode('then the');
    expect(ids.map((id) => tiny.token(id))).to.deep.equal(['the', 'n', 'Ġ', 'the']);
    expect(tiny.decode(ids)).to.equal('then the');
    expect(tiny.encode('')).to.deep.equal([]);
    expect(tiny.decode([])).to.equal('');
  });

  it('round-trips any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        fc.pre(isWellFormed(text));
        expect(tiny.decode(tiny.encode(text))).to.equal(text);
      }),
    );
  });

  it('streams whole characters that join to the decoded text, for any ids', () => {
    const ids = fc.array(fc.nat(tiny.vocabSize + 5), { maxLength: 60 });
    fc.assert(
      fc.property(ids, fc.boolean(), (ids, skipSpecialTokens) => {
        const pieces = streamed(tiny.decodeStream({ skipSpecialTokens }), ids);
        expect(pieces.join('')).to.equal(tiny.decode(ids, { skipSpecialTokens }));
        for (const piece of pieces) expect(isWellFormed(piece)).to.equal(true);
      }),
    );
  });

  it('holds back a character until its last byte', () => {
    const ids = tiny.encode('a👍b');
    expect(streamed(tiny.decodeStream(), ids)).to.deep.equal(['a', '', '', '', '👍', 'b', '']);
    expect(streamed(tiny.decodeStream(), ids.slice(0, 3))).to.deep.equal(['a', '', '', '\uFFFD']);
  });

  it('pauses while it prepares, merges and collects one long word', () => {
    const word = '海'.repeat(500_000); // three bytes each, none of which merge
    const steps = tiny.encodeInSteps(word);
    let pauses = 0;
    let step = steps.next();
    for (; !step.done; step = steps.next()) pauses++;
    expect(step.value).to.have.length(1_500_000);
    expect(pauses).to.be.at.least((3 * 1_500_000) / 70_000);
  });

  it('knows its special tokens', () => {
    const { eosTokenId, padTokenId } = tiny;
    expect([eosTokenId, padTokenId, tiny.vocabSize]).to.deep.equal([258, 259, 261]);
    const ids = tiny.encode('a<|endoftext|>[été]');
    expect(ids.slice(1)).to.deep.equal([258, 260]);
    // All characters of this added token are in the byte alphabet, and é alone is not a character of UTF-8.
    expect(tiny.decode(ids)).to.equal('a<|endoftext|>[\uFFFDt\uFFFD]');
    expect(tiny.decode(ids, { skipSpecialTokens: true })).to.equal('a[\uFFFDt\uFFFD]');
  });

  it('decodes added tokens like the tokenizers library', () => {
    const added = (id: number, content: string, special = false, normalized = false) => ({
      ...{ id, content, special, normalized },
    });
    const model = { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] };
    const bytes = Tokenizer.fromJson({
      added_tokens: ['é', 'é ', '日', 'Ġx', 'Ã©'].map((content, i) => added(2 + i, content)),
      decoder: { type: 'ByteLevel' },
      model,
    });
    const decoded = [2, 3, 4, 5, 6].map((id) => bytes.decode([0, id, 1]));
    expect(decoded).to.deep.equal(['a\uFFFDb', 'aé b', 'a日b', 'a xb', 'aéb']);
    const lower = Tokenizer.fromJson({
      added_tokens: [added(2, 'FOO', true, true), added(3, 'low', true, true), added(4, 'BAR')],
      normalizer: { type: 'Lowercase' },
      model,
    });
    const skipped = [2, 3, 4].map((id) => lower.decode([id], { skipSpecialTokens: true }));
    expect(skipped, 'special by its normal form').to.deep.equal(['foo', '', 'BAR']);
  });

  it('streams other kinds of vocabulary as it decodes them', () => {
    const other = Tokenizer.fromJson(tinyMetaspaceJson());
    for (const text of ['ab a b', 'a 👍 é', '日本', 'ab👍👍ab']) {
      const ids = other.encode(text);
      expect(other.decode(ids), text).to.equal(text);
      const pieces = streamed(other.decodeStream(), ids);
      for (const piece of pieces) expect(piece).not.to.contain('\uFFFD');
    }
    expect(other.decode([1 + 0xf0, 1 + 0x9f])).to.match(/\uFFFD/);
  });

  it('refuses invalid ids, and options of other libraries, by name', async () => {
    const cases: [run: () => unknown, message: string][] = [
      [() => tiny.decode(untyped(5)), 'ids: expected token ids such as [1, 2, 3], found 5'],
      [() => tiny.decode(untyped('97')), "ids: expected token ids such as [1, 2, 3], found '97'"],
      [() => tiny.decode(untyped([1, '2'])), "ids[1]: expected a token id, found '2'"],
      [() => tiny.decode(untyped([[1, 2]])), 'ids[0]: expected a token id, found [1, 2]'],
      [() => tiny.decode([1.5]), 'ids[0]: expected a token id, found 1.5'],
      [() => tiny.decode(untyped([7n])), 'ids[0]: expected a token id, found 7n'],
      [
        () => tiny.decode([1], untyped({ skip_special_tokens: true })),
        'options: expected skipSpecialTokens, found skip_special_tokens',
      ],
      [() => tiny.decode([1], untyped(true)), 'options: expected an object, found true'],
      [
        () => tiny.decodeStream(untyped({ promptIds: 'a' })),
        "promptIds: expected token ids such as [1, 2, 3], found 'a'",
      ],
      [
        () => tiny.encode('a', untyped({ add_special_tokens: false })),
        'options: expected addSpecialTokens, found add_special_tokens',
      ],
      [
        () => tiny.encode('a', untyped({ addSpecialTokens: 'no' })),
        "addSpecialTokens: expected true or false, found 'no'",
      ],
    ];
    for (const [run, message] of cases) {
      expect((await errorOf(InvalidArgumentError, run)).message).to.equal(message);
    }
    // Ids without a token are omitted.
    expect(tiny.decode([97, -1, 1e9].filter((id) => id !== 97))).to.equal('');
  });

  it('refuses a file that is not a tokenizer', async () => {
    for (const json of [null, 3, [], {}, { model: 3 }, { added_tokens: 3, model: {} }]) {
      await errorOf(TokenizerError, () => Tokenizer.fromJson(json));
    }
    for (const vocab of [[], { a: -1 }, { a: 0.5 }, { a: 1e9 }, { a: '0' }]) {
      const json = { model: { type: 'BPE', vocab, merges: [] } };
      await errorOf(TokenizerError, () => Tokenizer.fromJson(json));
    }
    const unknown = { model: { type: 'Magic', vocab: {} } };
    const error = await errorOf(TokenizerError, () => Tokenizer.fromJson(unknown, {}, 'x.json'));
    expect(error.message).to.match(/^x\.json: .*BPE.*Magic/);
    const missing = await errorOf(CheckpointError, () => Tokenizer.fromFile('/nowhere/t.json'));
    expect(missing.message).to.equal('/nowhere/t.json: no such file');
  });

  it('refuses a dropout, with which the original encodes at random', async () => {
    const withDropout = (dropout: unknown) => () =>
      Tokenizer.fromJson({ model: { type: 'BPE', vocab: { a: 0 }, merges: [], dropout } });
    for (const none of [null, undefined, 0])
      expect(withDropout(none)().encode('a')).to.have.length(1);
    for (const some of [0.1, 1, '0.5']) {
      const error = await errorOf(TokenizerError, withDropout(some));
      expect(error.message).to.match(
        /^tokenizer\.json: model\.dropout: expected null: .*at random, found /,
      );
    }
  });

  it('omits characters that a vocabulary without an unknown token lacks, as the original does', () => {
    const partial = Tokenizer.fromJson({
      decoder: { type: 'ByteLevel' },
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
      model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
    });
    expect(partial.encode('aba')).to.deep.equal([0, 0]);
  });

  describe("with OLMo's vocabulary", () => {
    let olmo: Tokenizer;
    before(async function () {
      if (!existsSync(OLMO)) return this.skip();
      olmo = await Tokenizer.fromFile(OLMO);
    });

    it("has the original's ids", () => {
      expect([olmo.vocabSize, olmo.eosTokenId, olmo.padTokenId]).to.deep.equal([50280, 50279, 1]);
      expect(olmo.encode('Rene Descartes was').map((id) => olmo.token(id))).to.deep.equal([
        ...['R', 'ene', 'ĠDes', 'cart', 'es', 'Ġwas'],
      ]);
    });

    it('round-trips and streams emoji, CJK, combining marks and control characters', () => {
      for (const text of TEXTS) {
        const ids = olmo.encode(text);
        const pieces = streamed(olmo.decodeStream(), ids);
        expect(pieces.join(''), text).to.equal(text.normalize('NFC'));
        for (const piece of pieces) expect(piece).not.to.contain('\uFFFD');
        expect(olmo.decode(ids)).to.equal(text.normalize('NFC'));
      }
    });

    it('decodes any ids like the library', () => {
      const json: object = JSON.parse(readFileSync(OLMO, 'utf8'));
      const library = new HuggingFaceTokenizer(json, {});
      const ids = fc.array(fc.nat(50279), { minLength: 1, maxLength: 50 });
      fc.assert(
        fc.property(ids, (ids) => {
          const expected = library.decode(ids, { clean_up_tokenization_spaces: false });
          expect(olmo.decode(ids)).to.equal(expected);
        }),
      );
    });

    it('decodes in linear time', () => {
      const ids = Array.from({ length: 100_000 }, (_, i) => (i * 7919) % 50280);
      olmo.decode(ids); // looks up the bytes of every token once
      const start = performance.now();
      olmo.decode(ids);
      expect(performance.now() - start).to.be.below(2000);
    });
  });
});
