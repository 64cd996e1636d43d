// The page of the bundler tests: README.md's browser example, callable from tests.
import { simdInfo } from '@rene-js/layers/simd';
import { ReneLMHeadModel, streamText, Tokenizer } from '@rene-js/rene';
import { loadInWorker } from '@rene-js/rene/browser';

globalThis.generate = async (url, prompt, { backend, maxNewTokens }) => {
  const model = await ReneLMHeadModel.fromPretrained(url, { backend });
  const tokenizer = await Tokenizer.fromPretrained(url);
  let text = '';
  for await (const piece of streamText(model, tokenizer, prompt, { maxNewTokens })) text += piece;
  model.dispose();
  const { threads } = model.backend === 'simd' ? simdInfo() : { threads: 0 };
  return { text, backend: model.backend, threads };
};

globalThis.generateInWorker = async (url, prompt, { backend, maxNewTokens }) => {
  const model = await loadInWorker(url, { backend });
  // A chat template is rendered by a script of its own beside the worker.
  const chatTemplate = '{{ messages[0].content }}';
  const chat = await model.tokenizer.applyChatTemplate([{ content: prompt }], { chatTemplate });
  let text = '';
  for await (const piece of model.streamText(chat, { maxNewTokens })) text += piece;
  model.dispose();
  return { text, backend: model.backend, threads: model.threads };
};
