// generation_config.json and lists of end-of-text tokens: defaults for options that the user does not give.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorOf, golden, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { parseConfig, reneConfig } from '../../src/config.js';
import {
  parseGenerationDefaults,
  withGenerationDefaults,
} from '../../src/generation/generation_defaults.js';
import type { GenerateOptions } from '../../src/generation/options.js';
import { resolveOptions } from '../../src/generation/resolve_options.js';
import { streamText } from '../../src/generation/stream_text.js';
import { ConfigError, ReneLMHeadModel } from '../../src/index.js';

const config = reneConfig({ nLayer: 1, vocabSize: 100, padVocabSizeMultiple: 1, eosTokenId: 9 });
const MODEL = golden('tiny-hybrid');
const PROMPT = [3, 14, 15, 9, 26, 5];

function effective(file: object, options: GenerateOptions) {
  const defaults = parseGenerationDefaults(file, config, 'g.json');
  const settings = resolveOptions(withGenerationDefaults(options, defaults), config);
  const { filters, maxLength, maxNewTokens, numBeams, eosTokenIds } = settings;
  return { filters, maxLength, maxNewTokens, numBeams, eos: [...eosTokenIds], settings };
}

describe('generation_config.json', () => {
  const folder = temporaryFolders();

  /** A copy of a model with this file and changes to its config.json. */
  function modelWith(generation: object | undefined, changes: object = {}): string {
    const dir = folder();
    cpSync(join(MODEL, 'model.safetensors'), join(dir, 'model.safetensors'));
    const json: object = JSON.parse(readFileSync(join(MODEL, 'config.json'), 'utf8'));
    writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...json, ...changes }));
    if (generation) {
      writeFileSync(join(dir, 'generation_config.json'), JSON.stringify(generation));
    }
    return dir;
  }

  it('applies to options that the user does not give, as in transformers', () => {
    // Results of transformers 5.18 for the same cases.
    expect(effective({}, {}).filters).to.equal(null);
    expect(effective({ temperature: 0.7, top_p: 0.5 }, {}).filters).to.equal(null);
    expect(effective({ do_sample: true, temperature: 0.7 }, {}).filters).to.include({
      temperature: 0.7,
      topK: 50,
      topP: 1,
    });
    const file = { do_sample: true, temperature: 0.7, top_p: 0.9, top_k: 5, min_p: 0.1 };
    expect(effective(file, { temperature: 0.3 }).filters).to.include({
      temperature: 0.3,
      topK: 5,
      topP: 0.9,
      minP: 0.1,
    });
    expect(effective(file, { topP: 1, topK: 0 }).filters).to.include({ topK: 0, topP: 1 });
    expect(effective(file, { temperature: 0 }).filters).to.equal(null);
    expect(effective({ temperature: 0.7 }, { seed: 1 }).filters).to.include({ temperature: 0.7 });
    expect(effective({ max_length: 50 }, {})).to.include({ maxLength: 50 });
    expect(effective({ max_length: 50 }, { maxNewTokens: 7 })).to.include({
      maxLength: Number.POSITIVE_INFINITY,
      maxNewTokens: 7,
    });
    expect(effective({ max_new_tokens: 9 }, {})).to.include({ maxNewTokens: 9 });
    expect(effective({ num_beams: 3, length_penalty: 2 }, {})).to.include({ numBeams: 3 });
    expect(effective({ num_beams: 3 }, { numBeams: 1 })).to.include({ numBeams: 1 });
    expect(effective({ num_beams: 3 }, { temperature: 0.5 })).to.include({ numBeams: 1 });
    expect(effective({ num_beams: 3 }, { logProbs: 1 })).to.include({ numBeams: 1 });
    const others = { repetition_penalty: 1.5, no_repeat_ngram_size: 3, min_new_tokens: 2 };
    expect(effective(others, {}).settings).to.include({
      repetitionPenalty: 1.5,
      noRepeatNgramSize: 3,
      minNewTokens: 2,
    });
    expect(effective(others, { repetitionPenalty: 1 }).settings).to.include({
      repetitionPenalty: 1,
    });
    expect(effective({ bad_words_ids: [[4], [5, 6]] }, {}).settings.badWordsIds).to.deep.equal([
      [4],
      [5, 6],
    ]);
    // Stop strings need a tokenizer.
    expect(effective({ stop_strings: ['x'] }, {}).settings.stopStrings).to.deep.equal([]);
  });

  it('causes notices about unsupported options, and is refused if it is invalid', async () => {
    const notices: string[] = [];
    const parse = (file: unknown) =>
      parseGenerationDefaults(file, config, 'g.json', (notice) => notices.push(notice));
    parse({ transformers_version: '5.0', use_cache: true, typical_p: 1, guidance_scale: null });
    parse({ _from_model_config: true, bos_token_id: 1, eos_token_id: 2, diversity_penalty: 0.0 });
    expect(notices).to.deep.equal([]);
    parse({ encoder_repetition_penalty: 0.9, suppress_tokens: [1], temperature: 0.5 });
    parse({ do_sample: true, num_beams: 4 });
    expect(notices).to.deep.equal([
      'g.json: not supported and without effect: encoder_repetition_penalty, suppress_tokens',
      'g.json: not supported and without effect: num_beams with do_sample',
    ]);
    const cases: [file: unknown, message: RegExp][] = [
      [[], /expected an object, found \[\]/],
      [{ temperature: '1' }, /g\.json: temperature: expected a number .*found "1"/],
      [{ top_p: 1.5 }, /top_p: expected a number from 0 to 1, found 1\.5/],
      [{ top_k: -1 }, /top_k: expected a whole number/],
      [{ do_sample: 'yes' }, /do_sample: expected true or false/],
      [{ bad_words_ids: [[100]] }, /bad_words_ids/],
      [{ bad_words_ids: [[]] }, /bad_words_ids/],
      [{ stop_strings: [''] }, /stop_strings/],
      [{ early_stopping: 'soon' }, /early_stopping/],
    ];
    for (const [file, message] of cases) {
      expect((await errorOf(ConfigError, () => parse(file))).message).to.match(message);
    }
  });

  it('is loaded with a model, applies to generate and stream, and is saved with it', async () => {
    const file = { do_sample: true, temperature: 1.3, top_k: 7, max_new_tokens: 6, top_h: 1 };
    const notices: string[] = [];
    const model = await ReneLMHeadModel.fromPretrained(modelWith(file), {
      backend: 'cpu',
      onNotice: (notice) => notices.push(notice),
    });
    expect(notices.filter((notice) => notice.includes('top_h'))).to.have.length(1);
    const plain = await ReneLMHeadModel.fromPretrained(MODEL);
    const given = { temperature: 1.3, topK: 7, maxNewTokens: 6, seed: 5 };
    const expected = await plain.generate(PROMPT, given);
    const found = await model.generate(PROMPT, { seed: 5 });
    expect(found.sequences).to.deep.equal(expected.sequences);
    expect((await model.generate(PROMPT)).seed).not.to.equal(undefined);
    const tokens = [];
    for await (const id of model.stream(PROMPT, { seed: 5 })) tokens.push(id);
    expect([...PROMPT, ...tokens]).to.deep.equal(expected.sequences[0]);
    const greedy = await plain.generate(PROMPT, { maxNewTokens: 6 });
    expect((await model.generate(PROMPT, { temperature: 0 })).sequences).to.deep.equal(
      greedy.sequences,
    );
    const dir = join(folder(), 'saved');
    await model.save(dir);
    expect(JSON.parse(readFileSync(join(dir, 'generation_config.json'), 'utf8'))).to.deep.equal(
      file,
    );
    model.dispose();
    plain.dispose();
  });

  it("its end-of-text tokens end sequences, else all of config.json's", async () => {
    const plain = await ReneLMHeadModel.fromPretrained(MODEL, { backend: 'cpu' });
    const { sequences } = await plain.generate(PROMPT, { maxNewTokens: 8, eosTokenId: null });
    const all = (sequences[0] ?? []).slice(PROMPT.length);
    plain.dispose();
    const end = all[3] ?? -1;
    const until = all.slice(0, all.indexOf(end) + 1);
    const unused = [...Array(90).keys()].find((id) => !all.includes(id)) ?? -1;
    const cases: [generation: object | undefined, changes: object][] = [
      [undefined, { eos_token_id: [unused, end] }],
      [{ eos_token_id: end }, { eos_token_id: unused }],
      [{ eos_token_id: [unused, end] }, { eos_token_id: unused }],
      [{ temperature: 1 }, { eos_token_id: [end] }],
    ];
    for (const [generation, changes] of cases) {
      const dir = modelWith(generation, changes);
      const model = await ReneLMHeadModel.fromPretrained(dir);
      const result = await model.generate(PROMPT, { maxNewTokens: 8 });
      expect(result.sequences[0]?.slice(PROMPT.length)).to.deep.equal(until);
      expect(result.finishReasons).to.deep.equal(['eos']);
      const override = await model.generate(PROMPT, { maxNewTokens: 8, eosTokenId: unused });
      expect(override.sequences).to.deep.equal(sequences);
      const saved = join(folder(), 'saved');
      await model.save(saved);
      const again = await ReneLMHeadModel.fromPretrained(saved);
      expect(again.config.eosTokenIds).to.deep.equal(model.config.eosTokenIds);
      model.dispose();
      again.dispose();
    }
    const wrong = modelWith({ eos_token_id: [3, 95] });
    const error = await errorOf(ConfigError, () => ReneLMHeadModel.fromPretrained(wrong));
    expect(error.message).to.match(
      /generation_config\.json: eos_token_id: .*below vocab_size \(90\)/,
    );
  });

  it('its stop strings end a streamed text', async () => {
    const model = await ReneLMHeadModel.fromPretrained(
      modelWith({ stop_strings: ['d'], max_new_tokens: 8 }),
      { backend: 'cpu' },
    );
    const words = new Map<number, string>();
    const tokenizer = {
      eosTokenId: null,
      encode: () => PROMPT,
      // The fourth new token is d.
      decodeStream: () => ({
        push(id: number) {
          if (!words.has(id)) words.set(id, String.fromCharCode(97 + words.size));
          return words.get(id) ?? '';
        },
        end: () => '',
      }),
    };
    let text = '';
    for await (const piece of streamText(model, tokenizer, 'x', { eosTokenId: null }))
      text += piece;
    model.dispose();
    expect(text).not.to.contain('d');
    expect(text.length).to.be.above(0);
  });
});

describe('eos_token_id', () => {
  it('is an id, a list or null, in config.json and in reneConfig', async () => {
    const of = (eos: unknown) => parseConfig({ vocab_size: 100, eos_token_id: eos });
    expect(of(5)).to.deep.include({ eosTokenId: 5, eosTokenIds: [5] });
    expect(of([5, 7, 5])).to.deep.include({ eosTokenId: 5, eosTokenIds: [5, 7] });
    expect(of([])).to.deep.include({ eosTokenId: null, eosTokenIds: [] });
    expect(of(null)).to.deep.include({ eosTokenId: null, eosTokenIds: [] });
    expect(reneConfig({ eosTokenId: [1, 2] }).eosTokenIds).to.deep.equal([1, 2]);
    for (const eos of [[5, 100], ['5'], [null], [[5]], 'x', 1.5]) {
      const error = await errorOf(ConfigError, () => of(eos));
      expect(error.key).to.equal('eos_token_id');
    }
  });
});
