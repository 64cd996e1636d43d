// The model's thread: loads a model and its tokenizer and runs jobs, also with adapters of the model.
import { parentPort, workerData } from 'node:worker_threads';
import { freeMemory } from '@rene-js/layers/internal';
import { registerSimdBackend } from '@rene-js/layers/simd';
import { AutoModelForCausalLM, Tokenizer } from '@rene-js/rene';
import { loadAdaptedModel } from '@rene-js/rene/internal';
import * as tf from '@tensorflow/tfjs-core';
import { dtypeOf } from '../model_identity.js';
import { messageOf, RunningModel } from './running_model.js';
import type { FromWorker, ToWorker, WorkerSettings } from './worker_messages.js';

const port = parentPort;
if (!port) throw new Error('serving/model_worker.ts runs as a worker thread');
// Set by WorkerEngine.start, which alone starts this file.
const settings: WorkerSettings = workerData;

const post = (message: FromWorker) => port.postMessage(message);
const onNotice = (message: string) => post({ type: 'notice', message });

try {
  const { dir, threads, backend, dtype, lora, prefixCacheBytes } = settings;
  if (threads !== undefined) registerSimdBackend({ threads });
  const model = await AutoModelForCausalLM.fromPretrained(dir, {
    ...{ backend, dtype, lora, onNotice },
    onProgress: ({ loadedValues, totalValues }) =>
      post({ type: 'loading', done: loadedValues, total: totalValues }),
  });
  const tokenizer = await Tokenizer.fromFile(settings.tokenizerPath);
  const cacheBytes = prefixCacheBytes ?? Math.floor(freeMemory() / 4);
  const main = await RunningModel.start(0, model, lora, cacheBytes, { tokenizer, settings, post });
  serve(main, tokenizer);
  const { vocabSize } = model.config;
  post({
    ...{ type: 'ready', backend: model.backend, dtype: dtypeOf(model), vocabSize },
    load: main.load(),
  });
} catch (error) {
  post({ type: 'failed', message: messageOf(error) });
}

function serve(main: RunningModel, tokenizer: Tokenizer): void {
  const models = new Map([[0, main]]);
  const cancels = new Map<number, () => void>();
  port?.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'submit': {
        const { id, job } = message;
        const cancel = models.get(message.model)?.submit(id, job, () => cancels.delete(id));
        if (cancel) cancels.set(id, cancel);
        return;
      }
      case 'cancel':
        cancels.get(message.id)?.();
        cancels.delete(message.id);
        return;
      case 'add':
        void addAdapter(message);
        return;
      case 'remove': {
        const { model } = message;
        const removed = models.get(model);
        models.delete(model);
        void removed?.close().then(() => post({ type: 'removed', model }));
        return;
      }
      case 'memory':
        post({ type: 'memory', tensors: tf.memory().numTensors, bytes: tf.memory().numBytes });
        return;
      case 'close':
        void Promise.all([...models.values()].map((model) => model.close())).then(() => {
          port?.close();
        });
        return;
      default:
        message satisfies never;
    }
  });

  async function addAdapter({ model, adapter }: Extract<ToWorker, { type: 'add' }>) {
    const { dir, dtype, lora: baseLora } = settings;
    const { lora, prefixCacheBytes = 0 } = adapter;
    try {
      const adapted = await loadAdaptedModel(main.model, dir, lora, { dtype, baseLora, onNotice });
      const host = { tokenizer, settings, post };
      const running = await RunningModel.start(model, adapted, lora, prefixCacheBytes, host);
      models.set(model, running);
      post({ type: 'added', model, dtype: dtypeOf(adapted), load: running.load() });
    } catch (error) {
      post({ type: 'refused', model, message: messageOf(error) });
    }
  }
}
