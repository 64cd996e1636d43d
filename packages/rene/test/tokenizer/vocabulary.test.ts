// Errors and notices name the tokenizer if it belongs to another model.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvalidArgumentError, useBackend } from '@rene-js/layers';
import { rejection, runRene, temporaryFolders, tinyByteLevelJson } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { reneConfig } from '../../src/config.js';
import type { GenerationModel } from '../../src/generation/generation_model.js';
import { streamText } from '../../src/generation/stream_text.js';
import { RecurrentState } from '../../src/state.js';
import { checkIds } from '../../src/token_ids.js';
import { vocabularyNotice } from '../../src/tokenizer/vocabulary_notice.js';
import { Tokenizer } from '../../src/tokenizer.js';

/** The value with a wrong type, which type-checked programs cannot pass. */
function untyped(value: unknown): never {
  return value as never;
}

describe('a tokenizer and a model', () => {
  const temporaryFolder = temporaryFolders();
  const model = (vocabSize: number): GenerationModel => {
    const config = reneConfig({ vocabSize, nLayer: 1 });
    return {
      config,
      initialState: () => new RecurrentState([null], [0]),
      forward: () => tf.zeros([1, 1, config.paddedVocabSize]),
    };
  };

  it('with different vocabularies: the error names the tokenizer, not the ids', async () => {
    await useBackend('cpu');
    const tokenizer = Tokenizer.fromJson(tinyByteLevelJson());
    const error = await rejection(streamText(model(64), tokenizer, 'zebra').next());
    expect(error).to.be.instanceOf(InvalidArgumentError);
    expect(error.message).to.equal(
      "tokenizer: expected the model's own, whose ids are below 64, found one that makes 89 of the prompt",
    );
  });

  it('are asked for where ids are too large, not where they are wrong in another way', () => {
    const refusal = (id: number) => {
      try {
        checkIds([[1, id]], reneConfig({ vocabSize: 64, padVocabSizeMultiple: 8 }));
      } catch (error) {
        return String(error);
      }
      return 'accepted';
    };
    expect(refusal(64)).to.match(/ids below 64, found 64; is the tokenizer the model's own\?$/);
    expect(refusal(-1)).to.match(/ids below 64, found -1$/);
  });

  it('whose sizes differ by more than padding cause a notice', () => {
    const notice = (tokens: number, vocabSize: number) =>
      vocabularyNotice({ vocabSize: tokens }, { vocabSize, paddedVocabSize: vocabSize + 8 });
    expect(notice(50_280, 50_280)).to.equal(undefined);
    expect(notice(50_277, 50_280)).to.equal(undefined);
    expect(notice(50_288, 50_280)).to.equal(undefined);
    expect(notice(50_400, 50_280)).to.match(/50400 token ids, the model 50280: it is not/);
    expect(notice(32_000, 50_280)).to.match(/32000 token ids, the model 50280: is it the/);
  });

  it('are compared on the command line', async () => {
    const folder = new URL('../../../test/tokenizer/fixtures/', import.meta.url);
    const { tokenizer } = JSON.parse(readFileSync(new URL('llama.json', folder), 'utf8'));
    const path = join(temporaryFolder(), 'tokenizer.json');
    writeFileSync(path, JSON.stringify(tokenizer));
    const args = ['generate', 'The sea', '--tokenizer', path, '-n', '1', '--backend', 'cpu'];
    const { code, stderr } = await runRene(args);
    expect(code).to.equal(0);
    expect(stderr).to.match(
      /the tokenizer has \d+ token ids, the model 8192: is it the model's own/,
    );
  });

  it('encode refuses values other than text', () => {
    const tokenizer = Tokenizer.fromJson(tinyByteLevelJson());
    for (const [value, shown] of [
      [5, '5'],
      [null, 'null'],
      [['a'], "['a']"],
    ]) {
      expect(() => tokenizer.encode(untyped(value)))
        .to.throw(InvalidArgumentError)
        .with.property('message', `text: expected a string, found ${shown}`);
    }
  });
});
