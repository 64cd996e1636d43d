// A conversation: answers equal those of the whole text, and a turn computes only its own tokens.
import { fileURLToPath } from 'node:url';
import { leavesNothing, rejection, temporaryFolders, testBackend } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import type { ChatOptions } from '../../src/chat/chat_options.js';
import { ChatSession, type ChatTurn } from '../../src/chat/chat_session.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { Tokenizer } from '../../src/tokenizer.js';

const tiny = fileURLToPath(new URL('../../../models/rene-tiny', import.meta.url));

/** Ends of messages are a special token, as in most families. */
const TEMPLATE =
  "{% for m in messages %}{{ m.role + ': ' + m.content + '<|endoftext|>' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";
/** Writes answers otherwise than the model did. */
const SHOUTING = TEMPLATE.replace('m.content', '(m.content | upper)');

describe('ChatSession', function () {
  this.timeout(60_000);
  const newFolder = temporaryFolders();
  let model: ReneLMHeadModel;
  let tokenizer: Tokenizer;
  /** Tokens that forward computed. */
  let computed = 0;

  before(async () => {
    model = await ReneLMHeadModel.fromPretrained(tiny, { backend: testBackend });
    tokenizer = await Tokenizer.fromPretrained(tiny);
    const forward = model.forward.bind(model);
    model.forward = (ids, options) => {
      if (Array.isArray(ids)) computed += ids.flat().length;
      return forward(ids, options);
    };
  });
  after(() => model.dispose());

  const session = (options: ChatOptions = {}) =>
    new ChatSession(model, tokenizer, { chatTemplate: TEMPLATE, maxNewTokens: 8, ...options });

  async function say(chat: ChatSession, text: string, after?: number): Promise<ChatTurn> {
    const controller = new AbortController();
    const pieces = chat.send(text, { signal: controller.signal });
    for (let i = 1; ; i++) {
      const next = await pieces.next();
      if (next.done) return next.value;
      if (i === after) controller.abort();
    }
  }

  /** The greedy continuation of ids. */
  async function continued(ids: readonly number[], maxNewTokens: number): Promise<number[]> {
    const { sequences } = await model.generate(ids, { maxNewTokens, eosTokenId: null });
    return sequences[0]?.slice(ids.length) ?? [];
  }
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });

  it('each answer continues the whole conversation, and reads only what is new', async () => {
    await leavesNothing(async () => {
      const chat = session({ system: 'Be brief.' });
      const questions = ['Who was Rene Descartes?', 'What is the sea?', 'And a bird?'];
      let known: number[] = [];
      let next = 'system: Be brief.<|endoftext|>';
      for (const question of questions) {
        const added = encode(`${next}user: ${question}<|endoftext|>assistant: `);
        const ids = [...known, ...added];
        const expected = await continued(ids, 8);
        computed = 0;
        const turn = await say(chat, question);
        const whole = tokenizer.decode([...ids, ...expected], { skipSpecialTokens: true });
        const before = tokenizer.decode(ids, { skipSpecialTokens: true });
        expect(whole).to.equal(before + turn.text);
        // The last token of an answer is read by the next turn.
        expect(turn.promptTokens).to.equal(added.length + (known.length > 0 ? 1 : 0));
        expect(turn.knownTokens).to.equal(Math.max(0, known.length - 1));
        expect(turn).to.include({ newTokens: 8, finishReason: 'length' });
        if (testBackend === 'simd') expect(computed).to.equal(turn.promptTokens);
        known = [...ids, ...expected];
        next = '<|endoftext|>';
      }
      expect(chat.messages.map(({ role }) => role).join()).to.equal(
        'system,user,assistant,user,assistant,user,assistant',
      );
      chat.dispose();
    });
  });

  it('an end-of-text token ends an answer, whether or not the template writes it', async () => {
    const prompt = 'user: The sea<|endoftext|>assistant: ';
    const ids = encode(prompt);
    const words = await continued(ids, 8);
    const eosTokenId = words[5] ?? -1;
    const length = words.indexOf(eosTokenId);
    const chat = session({ eosTokenId });
    const turn = await say(chat, 'The sea');
    expect(turn).to.include({ finishReason: 'eos', newTokens: length + 1 });
    expect(turn.text).to.equal(
      tokenizer.decode([...ids, ...words.slice(0, length)]).slice(prompt.length),
    );
    const added = encode('<|endoftext|>user: More<|endoftext|>assistant: ');
    const second = await say(chat, 'More');
    expect(second.promptTokens).to.equal(added.length);
    expect(second.knownTokens).to.equal(ids.length + length);
    chat.dispose();
  });

  it('a template that writes an answer otherwise: only that answer is read again', async () => {
    const chat = session({ chatTemplate: SHOUTING });
    await say(chat, 'Who was Rene Descartes?');
    const prompt = tokenizer.applyChatTemplate(
      [...chat.messages, { role: 'user', content: 'More' }],
      { chatTemplate: SHOUTING, addGenerationPrompt: true },
    );
    const expected = await continued(encode(prompt), 8);
    const turn = await say(chat, 'More');
    expect(turn.text).to.equal(
      tokenizer.decode([...encode(prompt), ...expected]).slice(prompt.length),
    );
    const first = encode('user: WHO WAS RENE DESCARTES?<|endoftext|>').length;
    expect(turn.knownTokens).to.equal(first);
    expect(turn.promptTokens).to.equal(encode(prompt).length - first);
    chat.dispose();
  });

  it('an aborted answer stays in the conversation, and the next turn continues its state', async () => {
    await leavesNothing(async () => {
      const chat = session();
      const turn = await say(chat, 'Tell me about the sea', 3);
      expect(turn).to.include({ finishReason: 'aborted', newTokens: 3 });
      expect(chat.messages.at(-1)).to.deep.equal({ role: 'assistant', content: turn.text });
      const second = await say(chat, 'Go on');
      expect(second.knownTokens).to.equal(turn.promptTokens + turn.newTokens - 1);
      const pieces = chat.send('Leave early');
      await pieces.next();
      await pieces.return({ ...second });
      expect(chat.messages).to.have.length(6);
      chat.dispose();
    });
  });

  it('a turn that is ended or refused before its answer changes nothing', async () => {
    await leavesNothing(async () => {
      const strict = "{% if messages | length > 3 %}{{ raise_exception('enough') }}{% endif %}";
      const chat = session({ chatTemplate: strict + TEMPLATE });
      const known = await say(chat, 'Hello');
      const { messages } = chat;
      const controller = new AbortController();
      controller.abort();
      const ended = await chat.send('a', { signal: controller.signal }).next();
      expect(ended.value).to.include({ finishReason: 'aborted', newTokens: 0 });
      expect(chat.messages).to.equal(messages);
      const next = await say(chat, 'b');
      expect(next.knownTokens).to.equal(known.promptTokens + known.newTokens - 1);
      expect((await rejection(say(chat, 'c'))).message).to.include('enough');
      expect(chat.messages).to.have.length(4);
      chat.dispose();
    });
  });

  it('stop strings end an answer before them', async () => {
    const whole = await say(session(), 'Who was Rene Descartes?');
    const stop = whole.text.slice(4, 7);
    const chat = session({ stopStrings: [stop] });
    const turn = await say(chat, 'Who was Rene Descartes?');
    expect(turn.text).to.equal(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(turn.finishReason).to.equal('stop');
    expect((await say(chat, 'More')).knownTokens).to.be.above(0);
    chat.dispose();
  });

  it('a saved conversation goes on in another session as in its own', async () => {
    await leavesNothing(async () => {
      const path = `${newFolder()}/chat.safetensors`;
      const chat = session({ system: 'Be brief.', seed: 3, temperature: 0.8 });
      await say(chat, 'Who was Rene Descartes?');
      await chat.save(path);
      const own = await say(chat, 'And then?');
      const other = session({ seed: 3, temperature: 0.8 });
      await other.load(path);
      computed = 0;
      expect(await say(other, 'And then?')).to.deep.equal(own);
      expect(other.messages).to.deep.equal(chat.messages);
      // It is a state file too, and a state without a conversation is refused.
      const state = await model.restoreState(path);
      await state.save(path);
      state.dispose();
      expect((await rejection(other.load(path))).message).to.match(/a state without one$/);
      expect(other.messages).to.deep.equal(chat.messages);
      other.reset();
      await other.save(path);
      await chat.load(path);
      expect(chat.messages).to.deep.equal([]);
      expect((await say(chat, 'Again')).knownTokens).to.equal(0);
      chat.dispose();
      other.dispose();
    });
  });

  it('a seed gives every turn other random numbers, and the same answers again', async () => {
    const same = { seed: 5, temperature: 1, chatTemplate: '{{ "sea" }}', maxNewTokens: 6 };
    const answers = async () => {
      const chat = session(same);
      const texts = [await say(chat, 'a'), await say(chat, 'b')].map(({ text }) => text);
      chat.dispose();
      return texts;
    };
    const texts = await answers();
    expect(texts[0]).to.not.equal(texts[1]);
    expect(await answers()).to.deep.equal(texts);
  });

  it('no turn computes what is known, whatever is said', async () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 2, maxLength: 3 }), async (texts) => {
        const chat = session({ maxNewTokens: 3 });
        let before = 0;
        for (const each of texts) {
          const turn = await say(chat, each);
          expect(turn.knownTokens, JSON.stringify(texts)).to.equal(before);
          before = turn.knownTokens + turn.promptTokens + turn.newTokens;
          if (turn.finishReason !== 'stop') before--;
        }
        chat.dispose();
      }),
      { numRuns: 15 },
    );
  });

  it('wrong options and contents are refused by name', async () => {
    expect(() => session({ numBeams: 2 } as object)).to.throw('numBeams');
    expect(() => session({ temperature: -1 })).to.throw('temperature');
    const none = new ChatSession(model, tokenizer);
    expect((await rejection(say(none, 'a'))).message).to.include('no chat template');
    none.dispose();
  });
});
