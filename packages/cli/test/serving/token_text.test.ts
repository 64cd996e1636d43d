// Answers keep the spaces between words, whatever the tokenizer.
import { readFileSync } from 'node:fs';
import { Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import type { Engine } from '../../src/serving/job.js';
import { createServer } from '../../src/serving/server.js';

const FIXTURES = new URL('../../../../rene/test/tokenizer/fixtures/', import.meta.url);

/** Says these tokens after any prompt. */
function saying(ids: readonly number[]): Engine {
  const likely = (id: number) => ({ id, logProb: -1, top: [{ id, logProb: -1 }] });
  return {
    submit(job, onEvent) {
      const { length } = job.prompt;
      const logProbs = job.prompt.map((id, i) => (i === 0 ? null : likely(id)));
      onEvent({ type: 'prompt', tokens: length, logProbs });
      ids.forEach((id, i) => {
        const finishReason = i === ids.length - 1 ? 'length' : undefined;
        onEvent({ type: 'token', k: 0, id, logProb: likely(id), finishReason });
      });
      onEvent({ type: 'end' });
      return () => {};
    },
    load: () => ({ active: 0, waiting: 0, slots: 4 }),
  };
}

describe('text of answers', () => {
  for (const kind of [
    'mistral',
    'llama',
    'gemma',
    'metaspace',
    'unigram',
    'bert',
    'clip',
    'gpt4',
  ]) {
    it(`continues the prompt: ${kind}`, async () => {
      const json = JSON.parse(readFileSync(new URL(`${kind}.json`, FIXTURES), 'utf8'));
      const tokenizer = Tokenizer.fromJson(json.tokenizer);
      const bare = { addSpecialTokens: false };
      const prompt = 'the sea is';
      const promptIds = tokenizer.encode(prompt, bare);
      const ids = tokenizer.encode(`${prompt} and the lake is not`, bare).slice(promptIds.length);
      const text = ' and the lake is not';
      const app = createServer({
        engine: saying(ids),
        tokenizer,
        modelName: 'm',
        vocabSize: tokenizer.vocabSize,
      });
      const post = (payload: object) =>
        app.inject({ method: 'POST', url: '/v1/completions', payload });
      const body = { prompt, max_tokens: ids.length, add_special_tokens: false };
      const [whole] = (await post({ ...body, logprobs: 1 })).json().choices;
      expect(whole.text).to.equal(text);
      // CLIP's tokens end with the space.
      const tokens = (choice: { logprobs: { tokens: string[] } }) =>
        kind === 'clip'
          ? ` ${choice.logprobs.tokens.join('').trim()}`
          : choice.logprobs.tokens.join('');
      expect(tokens(whole)).to.equal(text);
      expect(Object.keys(whole.logprobs.top_logprobs[0])).to.deep.equal([whole.logprobs.tokens[0]]);
      const [echoed] = (await post({ ...body, logprobs: 1, echo: true })).json().choices;
      expect(echoed.text).to.equal(prompt + text);
      // The first token of a text has no space.
      expect(kind === 'clip' ? tokens(echoed).trim() : tokens(echoed)).to.equal(prompt + text);
      const [ofIds] = (await post({ ...body, prompt: promptIds, echo: true })).json().choices;
      expect(ofIds.text).to.equal(prompt + text);
      const { body: stream } = await post({ ...body, stream: true });
      const pieces = [...stream.matchAll(/^data: (\{.*)$/gm)].map(
        ([, data = '']) => JSON.parse(data).choices[0].text,
      );
      expect(pieces.join('')).to.equal(text);
      await app.close();
    });
  }
});
