// Values that users of other libraries or untyped code pass.
import { InvalidArgumentError } from '@rene-js/layers';
import { leavesNothing, loadGolden, rejection } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { describe as shown } from '../../src/describe.js';
import { streamText } from '../../src/generation/stream_text.js';
import type { ReneLMHeadModel } from '../../src/rene_model.js';

/** The value with a wrong type, which type-checked programs cannot pass. */
function untyped(value: unknown): never {
  return value as never;
}

describe('values of a wrong type', () => {
  let model: ReneLMHeadModel;
  before(async () => {
    model = await loadGolden('tiny-hybrid');
  });
  after(() => model.dispose());

  const options: [string, unknown, string][] = [
    ['temperature', '0.5', "a finite number, 0 or more, found '0.5'"],
    ['temperature', null, 'a value, or undefined for the default, found null'],
    ['stopStrings', null, 'a value, or undefined for the default, found null'],
    ['topK', '40', "a whole number, 0 or more, found '40'"],
    ['topP', [0.9], 'a number from 0 to 1, found [0.9]'],
    ['minP', true, 'a number from 0 to 1, found true'],
    ['seed', { value: 1 }, 'a number or a string, found an object with value'],
    ['seed', 7n, 'a number or a string, found 7n'],
    ['maxNewTokens', '10', "a whole number, 1 or more, found '10'"],
    ['maxLength', () => 5, 'a whole number, 1 or more, found a function'],
    ['minNewTokens', '0', "a whole number, 0 or more, found '0'"],
    ['repetitionPenalty', '1.1', "a number from 0.000001 to 1000000, found '1.1'"],
    ['noRepeatNgramSize', false, 'a whole number, 0 or more, found false'],
    ['eosTokenId', '0', "a token id, ids or null, found '0'"],
    ['eosTokenId', ['0'], "a whole number, 0 to 95, found '0'"],
    ['stopStrings', /end/, 'a string or strings, found a RegExp'],
    ['stopStrings', ['a', 3], 'text, found 3'],
    ['tokenizer', 'allenai/OLMo-1B-hf', "a Tokenizer, found 'allenai/OLMo-1B-hf'"],
    ['logitBias', [[5, 1]], 'a Map or an object by token id, found [[5, 1]]'],
    ['logitBias', { 3: '-100' }, "a number, found '-100'"],
    ['badWordsIds', 'damn', "a list of lists of token ids, found 'damn'"],
    ['badWordsIds', [5], 'lists of token ids, found 5'],
    ['badWordsIds', [['x']], "a whole number, 0 to 89, found 'x'"],
    ['logitsProcessor', {}, 'a function or functions, found an object with nothing in it'],
    ['logitsProcessor', [null], 'a function or functions, found null'],
    [
      'logitsProcessor',
      (scores: Float64Array) => scores.map((score) => score / 2),
      'a function that changes the scores in place and returns nothing, found one that returns a Float64Array',
    ],
    ['logitBias', { the: 1 }, "a whole number, 0 to 89, found 'the'"],
    [
      'state',
      './saved.state',
      "a RecurrentState, found './saved.state'; load a file with model.restoreState(path)",
    ],
    ['signal', new AbortController(), 'an AbortSignal, found an AbortController'],
    ['onProgress', 'bar', "a function, found 'bar'"],
    ['numReturnSequences', '2', "a whole number, 1 or more, found '2'"],
    ['numBeams', '4', "a whole number, 1 or more, found '4'"],
    ['lengthPenalty', 'no', "a number from -1000000 to 1000000, found 'no'"],
    ['earlyStopping', 'always', "true, false or 'never', found 'always'"],
    ['logProbs', true, 'a whole number, 0 to 90, found true'],
    ['returnState', 1, 'true or false, found 1'],
    ['padTokenId', 'pad', "a whole number, 0 or more, found 'pad'"],
  ];
  for (const [name, value, message] of options) {
    it(`are refused by name: ${name}: ${shown(value)}`, async () => {
      const run = model.generate([1, 2], untyped({ maxNewTokens: 2, [name]: value }));
      const error = await rejection(run);
      expect(error).to.be.instanceOf(InvalidArgumentError);
      expect(error.message.replace(/^logitBias\[\d\]/, 'logitBias')).to.equal(
        `${name}: expected ${message}`,
      );
    });
  }

  it('are refused instead of options', async () => {
    for (const value of [null, 'fast', 5, [], new Map([['topK', 5]])]) {
      const error = await rejection(model.generate([1], untyped(value)));
      expect(error.message).to.equal(`options: expected an object, found ${shown(value)}`);
      expect(() => model.stream([1], untyped(value))).to.throw(error.message);
    }
    expect((await rejection(model.prefill([1], untyped({ maxLength: 3 })))).message).to.match(
      /options: expected one of state, signal, onProgress, found maxLength/,
    );
  });

  it('are named as prompts', async () => {
    const tensor = tf.tensor2d([[1, 2, 3]], [1, 3], 'int32');
    const prompts: [unknown, string][] = [
      [tensor, 'found a tensor int32 [1, 3]; give its values: await ids.array()'],
      [[tensor, tensor], 'found a tensor int32 [1, 3]; give its values: await ids.array()'],
      ['Once upon', "found 'Once upon'; encode a text with tokenizer.encode(text)"],
      [['Once', 'upon'], "ids[0]: expected a token id, found 'Once'; encode a text"],
      [5, 'found 5'],
      [undefined, 'found undefined'],
      [Promise.resolve([1]), 'found a promise (await it)'],
      [{ input_ids: [[1]] }, 'found an object with input_ids; give its input_ids as lists'],
      [BigInt64Array.of(1n, 2n), 'ids[0]: expected a token id, found 1n; convert them'],
      [[1, [2]], 'ids[0]: expected token ids such as [1, 2, 3], found 1'],
      [[[1, 2], 'x'], "ids[1]: expected token ids such as [1, 2, 3], found 'x'"],
      [[1, null], 'ids[1]: expected a token id, found null'],
      [[1.5], 'token ids below 90, found 1.5'],
      [[], 'an empty prompt'],
      [[[]], 'an empty prompt'],
    ];
    for (const [ids, message] of prompts) {
      for (const run of [
        () => model.generate(untyped(ids)),
        () => model.prefill(untyped(ids)),
        async () => model.stream(untyped(ids)),
      ]) {
        const error = await leavesNothing(() => rejection(run()));
        expect(error, shown(ids)).to.be.instanceOf(InvalidArgumentError);
        if (!run.toString().includes('stream')) expect(error.message).to.contain(message);
      }
    }
    tensor.dispose();
  });

  it('are accepted if they are other kinds of lists', async () => {
    const few = { maxNewTokens: 3, eosTokenId: null };
    const expected = await model.generate([[3, 1, 4], [1]], few);
    for (const ids of [
      [Int32Array.of(3, 1, 4), Uint8Array.of(1)],
      new Set([new Set([3, 1, 4]), [1]]),
    ]) {
      const { sequences } = await model.generate(untyped(ids), few);
      expect(sequences).to.deep.equal(expected.sequences);
    }
    const { sequences } = await model.generate(untyped(Int32Array.of(3, 1, 4)), few);
    expect(sequences[0]).to.deep.equal(expected.sequences[0]);
  });

  it('are named as rows of ids of forward', () => {
    const rows = 'an int32 tensor [batch, length], or rows of token ids such as [[1, 2, 3]]';
    const wrong: [unknown, string][] = [
      [[1, 2, 3], `${rows}, found [1, 2, 3]; put the one row into a list: [ids]`],
      [Int32Array.of(1, 2), `${rows}, found an Int32Array`],
      [[Int32Array.of(1, 2)], `${rows}, found [an Int32Array]`],
      ['text', `${rows}, found 'text'; encode a text with tokenizer.encode(text)`],
      [null, `${rows}, found null`],
      [[['a']], "token ids below 90, found 'a'"],
      [[[1, 2], [3]], 'rows of 2 tokens, found one of 1'],
      [[[], []], 'at least one token, found an empty prompt'],
      [[], 'at least one token, found an empty prompt'],
    ];
    for (const [ids, message] of wrong) {
      expect(() => model.forward(untyped(ids)), shown(ids))
        .to.throw(InvalidArgumentError)
        .with.property('message', `ids: expected ${message}`);
    }
  });

  it('are named as the tokenizer of streamText', async () => {
    const error = await rejection(streamText(model, untyped('a prompt'), 'x').next());
    expect(error.message).to.equal("tokenizer: expected a Tokenizer, found 'a prompt'");
  });

  it('are shown short, on one line, without their content', () => {
    expect(shown(`a${'\n b'.repeat(100)}`))
      .to.have.length(60)
      .and.not.contain('\n');
    expect(shown(Array(1000).fill(1.5))).to.have.length(60);
    expect(shown({ apiKey: 'secret', 2: 3 })).to.equal('an object with 2, apiKey');
    expect(shown(new Map([['apiKey', 'secret']]))).to.equal('a Map');
    expect(shown(Object.create(null))).to.equal('an object with nothing in it');
  });
});
