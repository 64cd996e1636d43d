// Asks `rene serve` with four libraries for OpenAI's API, and compares what they get.
//
//   npm run rene -- serve --chat-template examples/clients/chat_template.jinja
//   cd examples/clients && npm install && node clients.js [http://127.0.0.1:8000/v1]
import assert from 'node:assert/strict';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { ChatOpenAI, OpenAI as LangChainOpenAI } from '@langchain/openai';
import { generateText, streamText } from 'ai';
import OpenAI from 'openai';

const [baseURL = 'http://127.0.0.1:8000/v1'] = process.argv.slice(2);
const apiKey = process.env.RENE_API_KEY ?? 'none';

const openai = new OpenAI({ baseURL, apiKey });
const [{ id: model }] = (await openai.models.list()).data;

const prompt = 'A glacier is';
const messages = [{ role: 'user', content: 'What is a glacier?' }];
const stop = [' of'];

/** The answers that the other libraries should get as well. Temperature 0 is greedy. */
const expected = {
  completion: await complete({ prompt, max_tokens: 24 }),
  stopped: await complete({ prompt, max_tokens: 24, stop }),
  chat: await chat({ messages, max_tokens: 24 }),
};

async function complete(body) {
  const answer = await openai.completions.create({ model, temperature: 0, ...body });
  return answer.choices[0].text;
}

async function chat(body) {
  const answer = await openai.chat.completions.create({ model, temperature: 0, ...body });
  return answer.choices[0].message.content;
}

/** Joins the pieces of a stream. */
async function joined(stream, textOf) {
  let text = '';
  for await (const piece of stream) text += textOf(piece);
  return text;
}

/** Ends a long answer after its first pieces, and waits until the server has freed its slot. */
async function abort(start) {
  const controller = new AbortController();
  let pieces = 0;
  try {
    for await (const _ of await start(controller.signal)) if (++pieces === 3) controller.abort();
  } catch (error) {
    assert.ok(controller.signal.aborted, String(error));
  }
  assert.ok(pieces >= 3 && pieces < 1000, `${pieces} pieces`);
  const health = new URL('/health', baseURL);
  for (let tries = 0; tries < 50; tries++) {
    const { active, waiting } = await (await fetch(health)).json();
    if (active + waiting === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the server still works for a client that has left');
}

const long = { temperature: 0, ignore_eos: true };

async function openaiLibrary() {
  const body = { model, temperature: 0, max_tokens: 24, stream: true };
  const stream = await openai.completions.create({ ...body, prompt });
  assert.equal(await joined(stream, ({ choices }) => choices[0]?.text ?? ''), expected.completion);
  const talk = await openai.chat.completions.create({ ...body, messages });
  const text = await joined(talk, ({ choices }) => choices[0]?.delta.content ?? '');
  assert.equal(text, expected.chat);
  assert.ok(
    !expected.stopped.includes(stop[0]) && expected.completion.startsWith(expected.stopped),
  );
  await abort((signal) =>
    openai.completions.create(
      { ...long, model, prompt, max_tokens: 2000, stream: true },
      { signal },
    ),
  );
  await assert.rejects(
    openai.completions.create({ model: 'unknown', prompt }),
    OpenAI.NotFoundError,
  );
}

/** @param provider a provider of the AI SDK */
function aiSdk(provider) {
  return async () => {
    const options = { temperature: 0, maxOutputTokens: 24, maxRetries: 0 };
    const completion = provider.completionModel?.(model) ?? provider.completion(model);
    const chatModel = provider.chatModel?.(model) ?? provider.chat(model);
    // The AI SDK sends a completion's prompt as a conversation of its own format, so that only answers to the
    // same prompt are compared.
    const whole = await generateText({ ...options, model: completion, prompt });
    const pieces = streamText({ ...options, model: completion, prompt });
    assert.equal(await joined(pieces.textStream, String), whole.text);
    assert.ok(whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0);
    const talk = await generateText({ ...options, model: chatModel, messages });
    assert.equal(talk.text, expected.chat);
    const talkPieces = streamText({ ...options, model: chatModel, messages });
    assert.equal(await joined(talkPieces.textStream, String), expected.chat);
    assert.equal(await talkPieces.finishReason, talk.finishReason);
    const half = expected.chat.slice(6, 9);
    const stopped = await generateText({
      ...options,
      model: chatModel,
      messages,
      stopSequences: [half],
    });
    assert.equal(stopped.text, expected.chat.slice(0, expected.chat.indexOf(half)));
    await abort(
      (abortSignal) =>
        streamText({
          model: chatModel,
          messages,
          temperature: 0,
          maxOutputTokens: 2000,
          abortSignal,
        }).textStream,
    );
  };
}

async function langChain() {
  const options = { model, apiKey, temperature: 0, maxRetries: 0, configuration: { baseURL } };
  const completion = new LangChainOpenAI({ ...options, maxTokens: 24 });
  assert.equal(await completion.invoke(prompt), expected.completion);
  assert.equal(await joined(await completion.stream(prompt), String), expected.completion);
  assert.equal(await completion.invoke(prompt, { stop }), expected.stopped);
  const talk = new ChatOpenAI({ ...options, maxTokens: 24 });
  const answer = await talk.invoke(messages);
  assert.equal(answer.content, expected.chat);
  assert.ok(answer.usage_metadata.input_tokens > 0);
  const pieces = await talk.stream(messages);
  assert.equal(await joined(pieces, ({ content }) => content), expected.chat);
  const batch = await talk.batch([messages, messages]);
  assert.deepEqual(
    batch.map(({ content }) => content),
    [expected.chat, expected.chat],
  );
  const endless = new ChatOpenAI({ ...options, maxTokens: 2000 });
  await abort((signal) => endless.stream(messages, { signal }));
}

const libraries = {
  openai: openaiLibrary,
  '@ai-sdk/openai': aiSdk(createOpenAI({ baseURL, apiKey })),
  '@ai-sdk/openai-compatible': aiSdk(
    createOpenAICompatible({ name: 'rene', baseURL, apiKey, includeUsage: true }),
  ),
  '@langchain/openai': langChain,
};

for (const [name, check] of Object.entries(libraries)) {
  try {
    await check();
    console.log(`${name}: completions, chat, streams, stop and abort`);
  } catch (error) {
    process.exitCode = 1;
    console.error(`${name}:`, error);
  }
}
