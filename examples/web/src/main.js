// The page: its forms drive a model in a worker.
import { deleteCached, listCached, loadInWorker } from '@rene-js/rene/browser';
import { describeSpeed, megabytes, progressText } from './format.js';

const element = (id) => document.getElementById(id);
let model;
/** Ends what runs: loading, or a generation. */
let controller;

element('environment').textContent =
  `${navigator.hardwareConcurrency} cores, ` +
  `${crossOriginIsolated ? 'isolated: all are used' : 'not isolated: one is used'}, ` +
  `WebGPU: ${'gpu' in navigator ? 'yes' : 'no'}`;

element('load-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  model?.dispose();
  model = undefined;
  controller = new AbortController();
  setLoading(true);
  say('Loading.');
  const start = performance.now();
  try {
    model = await loadInWorker(element('name').value.trim(), {
      backend: element('backend').value,
      dtype: element('dtype').value,
      signal: controller.signal,
      onProgress: showProgress,
      onNotice: (notice) => say(notice),
    });
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const threads = model.threads > 1 ? `, ${model.threads} threads` : '';
    say(`Ready after ${seconds} s, on ${model.backend}${threads}.`);
    setTimeout(keepPage, 3000);
  } catch (error) {
    if (controller.signal.aborted) say('Cancelled. The next load goes on where this one stopped.');
    else fail(error);
  }
  setLoading(false);
  await showKept();
});

/**
 * Keeps the page's own files, some seconds after a model is loaded: loading and the first text need the processor, and
 * Chromium compiles the scripts that it keeps.
 */
function keepPage() {
  if (import.meta.env.PROD && 'serviceWorker' in navigator) {
    void navigator.serviceWorker.register('./service_worker.js');
  }
}

element('cancel').addEventListener('click', () => controller?.abort());
element('stop').addEventListener('click', () => controller?.abort());

element('prompt-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  if (!model) return;
  controller = new AbortController();
  const prompt = element('prompt').value;
  const output = element('output');
  const shown = document.createElement('span');
  shown.className = 'prompt';
  shown.textContent = prompt;
  output.replaceChildren(shown);
  setGenerating(true);
  const start = performance.now();
  let first;
  let tokens = 0;
  try {
    const pieces = model.streamText(prompt, {
      ...samplingOptions(),
      signal: controller.signal,
      onProgress({ newTokens }) {
        first ??= performance.now();
        tokens = newTokens;
        element('speed').textContent = describeSpeed(start, first, tokens);
      },
    });
    for await (const piece of pieces) output.append(piece);
  } catch (error) {
    if (!controller.signal.aborted) fail(error);
  }
  setGenerating(false);
});

function samplingOptions() {
  const number = (id) => element(id).valueAsNumber;
  const seed = element('seed').value.trim();
  return {
    temperature: number('temperature'),
    topP: number('top-p'),
    topK: number('top-k'),
    repetitionPenalty: number('penalty'),
    maxNewTokens: number('tokens'),
    ...(seed !== '' && { seed }),
  };
}

function showProgress(progress) {
  const { loaded, total } = progress;
  if (total) element('bar').value = loaded / total;
  else element('bar').removeAttribute('value');
  element('progress-text').textContent = progressText(progress);
}

function setLoading(isLoading) {
  element('load').disabled = isLoading;
  element('cancel').hidden = !isLoading;
  element('progress').hidden = !isLoading;
  element('bar').value = 0;
  element('progress-text').textContent = '';
  element('generate').disabled = isLoading || !model;
}

function setGenerating(isGenerating) {
  element('generate').disabled = isGenerating;
  element('load').disabled = isGenerating;
  element('stop').hidden = !isGenerating;
}

function say(text) {
  element('status').classList.remove('error');
  element('status').textContent = text;
}

function fail(error) {
  element('status').classList.add('error');
  element('status').textContent = `${error.name}: ${error.message}`;
}

async function showKept() {
  const models = await listCached();
  const items = models.map(({ url, bytes, isComplete }) => {
    const item = document.createElement('li');
    const text = document.createElement('span');
    const size = document.createElement('small');
    const remove = document.createElement('button');
    text.className = 'url';
    text.textContent = url
      .replace(`${location.origin}/`, './')
      .replace('https://huggingface.co/', '');
    size.textContent = `${megabytes(bytes)}${isComplete ? '' : ', not complete'}`;
    text.append(size);
    remove.textContent = 'Delete';
    remove.type = 'button';
    remove.addEventListener('click', async () => {
      remove.disabled = true;
      await deleteCached(url);
      await showKept();
    });
    item.append(text, remove);
    return item;
  });
  const none = document.createElement('li');
  none.textContent = 'None. A model is downloaded once and kept in this browser.';
  element('kept').replaceChildren(...(items.length > 0 ? items : [none]));
}

await showKept();
