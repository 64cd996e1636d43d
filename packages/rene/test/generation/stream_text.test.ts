import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { useBackend } from '@rene-js/layers';
import { leavesNothing, rejection, testBackend } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { reneConfig } from '../../src/config.js';
import type { GenerationModel } from '../../src/generation/generation_model.js';
import { StopStringFilter, StopStringWatcher } from '../../src/generation/stopping.js';
import { streamText } from '../../src/generation/stream_text.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { RecurrentState } from '../../src/state.js';
import { Tokenizer } from '../../src/tokenizer.js';

const tiny = fileURLToPath(new URL('../../../models/rene-tiny', import.meta.url));

describe('streamText', () => {
  let model: ReneLMHeadModel;
  let tokenizer: Tokenizer;
  before(async () => {
    model = await ReneLMHeadModel.fromPretrained(tiny, { backend: testBackend, dtype: 'f32' });
    tokenizer = await Tokenizer.fromPretrained(tiny);
  });
  after(() => model.dispose());

  /** Makes the model generate a text, then the end of text. */
  function saying(text: string, prompt: string) {
    const ids = [...tokenizer.encode(text), tokenizer.eosTokenId ?? -1];
    const start = tokenizer.encode(prompt).length;
    const logitsProcessor = (scores: Float64Array, sequence: readonly number[]) => {
      scores.fill(Number.NEGATIVE_INFINITY);
      scores[ids[sequence.length - start] ?? 0] = 0;
    };
    return { logitsProcessor, maxNewTokens: ids.length + 5 };
  }

  async function read(pieces: AsyncGenerator<string, { finishReasons: string[] }>) {
    const found: string[] = [];
    for (;;) {
      const next = await pieces.next();
      if (next.done) return { pieces: found, finishReason: next.value.finishReasons[0] };
      found.push(next.value);
    }
  }

  it('yields whole characters as soon as they are complete, without special tokens', async () => {
    const text = ' a🦙é漢字\u0301 e\u0308 end';
    const { pieces, finishReason } = await leavesNothing(() =>
      read(streamText(model, tokenizer, 'Say', saying(text, 'Say'))),
    );
    // The tokenizer normalises to NFC.
    expect(pieces.join('')).to.equal(text.normalize('NFC'));
    expect(finishReason).to.equal('eos');
    expect(pieces).to.include('🦙');
    for (const piece of pieces) expect(piece).not.to.match(/\uFFFD|[\uD800-\uDBFF]$/);
  });

  it('yields bytes that never form a character at the end', async () => {
    const llama = tokenizer.encode('🦙').slice(0, -1);
    const logitsProcessor = (scores: Float64Array, sequence: readonly number[]) => {
      scores.fill(Number.NEGATIVE_INFINITY);
      scores[llama[sequence.length - 1] ?? tokenizer.eosTokenId ?? 0] = 0;
    };
    const [first = ''] = [...'xyz'].filter((letter) => tokenizer.encode(letter).length === 1);
    const { pieces } = await read(streamText(model, tokenizer, first, { logitsProcessor }));
    expect(pieces).to.deep.equal(['\uFFFD']);
  });

  it('ends before a stop string, for any split into tokens', async () => {
    const text = ' one two\n\nthree four';
    const { pieces, finishReason } = await leavesNothing(() =>
      read(
        streamText(model, tokenizer, 'Say', {
          ...saying(text, 'Say'),
          stopStrings: ['o\n\nth', 'x'],
        }),
      ),
    );
    expect(pieces.join('')).to.equal(' one tw');
    expect(finishReason).to.equal('stop');
    const { sequences, finishReasons } = await model.generate(tokenizer.encode('Say'), {
      ...saying(text, 'Say'),
      stopStrings: 'o\n\nth',
      tokenizer,
    });
    expect(finishReasons).to.deep.equal(['stop']);
    expect(tokenizer.decode(sequences[0] ?? [])).to.match(/^Say one two\n\nth/);
    expect(sequences[0]?.length).to.be.lessThan(tokenizer.encode(`Say${text}`).length);
  });

  it('leaks nothing if its reader leaves, and refuses an empty prompt', async () => {
    await leavesNothing(async () => {
      for await (const _ of streamText(model, tokenizer, 'A lake is', { maxNewTokens: 9 })) break;
    });
    const error = await rejection(streamText(model, tokenizer, '').next());
    expect(error.message).to.equal("prompt: expected some text, found ''");
  });
});

describe('streamText with the tokenizer of Rene 1.3B', () => {
  const olmo = fileURLToPath(
    new URL('../../../../../../shared/tokenizers/olmo-dolma-v1_5.json', import.meta.url),
  );
  // A model without weights or state that generates given tokens.
  const config = reneConfig({ vocabSize: 50280, eosTokenId: 50279, nLayer: 1 });
  const mute: GenerationModel = {
    config,
    initialState: () => new RecurrentState([null], [0]),
    forward: () => tf.zeros([1, 1, config.paddedVocabSize]),
  };

  for (const text of [
    ' family \u{1F468}\u200d\u{1F469}\u200d\u{1F467}, flag \u{1F1E8}\u{1F1ED}, \u{1F9A5}',
    ' \u6F22\u5B57\u4EEE\u540D \u{20BB7}\u91CE\u5BB6 \uD55C\uAE00',
    ' x\u0302\u0323 \u0928\u093F \u0E01\u0E33',
    ' \u0000\u0007\u001b[0m\r\n\t\u0085\u200f',
  ]) {
    it(`yields whole characters only: ${JSON.stringify(text)}`, async function () {
      if (!existsSync(olmo)) this.skip();
      await useBackend(testBackend);
      const tokenizer = await Tokenizer.fromFile(olmo);
      const ids = [...tokenizer.encode(text), 50279];
      const start = tokenizer.encode('Say').length;
      const logitsProcessor = (scores: Float64Array, sequence: readonly number[]) => {
        scores[ids[sequence.length - start] ?? 0] = 1;
      };
      const pieces: string[] = [];
      await leavesNothing(async () => {
        for await (const piece of streamText(mute, tokenizer, 'Say', { logitsProcessor })) {
          pieces.push(piece);
        }
      });
      expect(pieces.join('')).to.equal(text.normalize('NFC'));
      for (const piece of pieces) expect(piece).not.to.match(/\uFFFD|[\uD800-\uDBFF]$/);
    });
  }
});

describe('streamText with tokenizers of every kind', () => {
  const fixtures = new URL('../../../test/tokenizer/fixtures/', import.meta.url);
  const prompts = ['The sea is', 'A lighthouse 😀', "it's deep é"];
  const texts = [' deep and the lake is not.', ' naïve 日本 👍🏽 end', '. The THE  ends\n\nx'];
  for (const file of readdirSync(fixtures)) {
    it(`prompt and new text equal the decoding of both together: ${file}`, async () => {
      await useBackend(testBackend);
      const tokenizer = Tokenizer.fromJson(
        JSON.parse(readFileSync(new URL(file, fixtures), 'utf8')).tokenizer,
      );
      const config = reneConfig({ vocabSize: tokenizer.vocabSize + 1, nLayer: 1 });
      const eosTokenId = tokenizer.vocabSize;
      const mute: GenerationModel = {
        config,
        initialState: () => new RecurrentState([null], [0]),
        forward: () => tf.zeros([1, 1, config.paddedVocabSize]),
      };
      for (const [i, prompt] of prompts.entries()) {
        const promptIds = tokenizer.encode(prompt);
        if (promptIds.length === 0) continue;
        const more = tokenizer.encode(prompt + texts[i]).slice(promptIds.length);
        const said = [...more, eosTokenId];
        const logitsProcessor = (scores: Float64Array, sequence: readonly number[]) => {
          scores[said[sequence.length - promptIds.length] ?? 0] = 1;
        };
        const skip = { skipSpecialTokens: true };
        const whole = tokenizer.decode([...promptIds, ...more], skip);
        let streamed = tokenizer.decode(promptIds, skip);
        for await (const piece of streamText(mute, tokenizer, prompt, {
          logitsProcessor,
          eosTokenId,
        })) {
          expect(piece).not.to.match(/\p{Surrogate}/u);
          streamed += piece;
        }
        expect(streamed, prompt).to.equal(whole);
        // A stop string may begin with the space before a word.
        const stop = [...whole].slice(-3, -1).join('');
        const options = { logitsProcessor, eosTokenId, stopStrings: stop };
        let stopped = tokenizer.decode(promptIds, skip);
        for await (const piece of streamText(mute, tokenizer, prompt, options)) stopped += piece;
        expect(stopped, stop).to.equal(
          whole.slice(0, whole.indexOf(stop, tokenizer.decode(promptIds, skip).length)),
        );
      }
    });
  }
});

describe('stop strings', () => {
  it('never match half a character', () => {
    const filter = new StopStringFilter(['\ud83d', '\ude00']);
    expect(filter.push('a😀') + filter.end()).to.equal('a😀');
  });

  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 24 });
  const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 });
  const cases = fc.tuple(
    fc.array(text, { maxLength: 8 }),
    fc.array(stop, { minLength: 1, maxLength: 3 }),
  );

  it('filter passes the text before the first one, for any split, and holds back no more than necessary', () => {
    fc.assert(
      fc.property(cases, ([pieces, stops]) => {
        const whole = pieces.join('');
        const ends = stops.map((s) => whole.indexOf(s)).filter((at) => at >= 0);
        const filter = new StopStringFilter(stops);
        let passed = '';
        let pushed = '';
        for (const piece of pieces) {
          passed += filter.push(piece);
          pushed += piece;
          if (filter.stopped) break;
          const held = pushed.slice(passed.length);
          if (held !== '') expect(stops.some((s) => s.startsWith(held))).to.equal(true);
        }
        passed += filter.end();
        // A stop string that begins later may be complete earlier.
        if (ends.length === 0) expect(passed).to.equal(whole);
        else expect(stops.some((s) => pushed.slice(passed.length).startsWith(s))).to.equal(true);
      }),
    );
  });

  it('watcher reports one as soon as it is complete', () => {
    fc.assert(
      fc.property(cases, ([pieces, stops]) => {
        const watcher = new StopStringWatcher(stops, {
          decodeStream: () => ({ push: (id) => pieces[id] ?? '', end: () => '' }),
        });
        let seen = '';
        for (let id = 0; id < pieces.length; id++) {
          seen += pieces[id];
          const expected = stops.some((s) => seen.includes(s));
          expect(watcher.push(id)).to.equal(expected);
          if (expected) return;
        }
      }),
    );
  });
});
