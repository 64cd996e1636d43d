// The model's thread: loads a model and its tokenizer and runs jobs.
import { parentPort, workerData } from 'node:worker_threads';
import { freeMemory } from '@rene-js/layers/internal';
import { registerSimdBackend } from '@rene-js/layers/simd';
import { AutoModelForCausalLM, type CausalLM, Tokenizer } from '@rene-js/rene';
import { PrefixCache, PrefixFiles, rowsThatFit } from '@rene-js/rene/internal';
import * as tf from '@tensorflow/tfjs-core';
import { dtypeOf, stateIdentity } from '../model_identity.js';
import { BatchEngine } from './batch_engine.js';
import type { JobEvent } from './job.js';
import type { FromWorker, ToWorker, WorkerSettings } from './worker_messages.js';

const port = parentPort;
if (!port) throw new Error('serving/model_worker.ts runs as a worker thread');
// Set by WorkerEngine.start, which alone starts this file.
const settings: WorkerSettings = workerData;

const DEFAULT_DIR_BYTES = 10 * 2 ** 30;

const post = (message: FromWorker) => port.postMessage(message);

try {
  if (settings.threads !== undefined) registerSimdBackend({ threads: settings.threads });
  const model = await AutoModelForCausalLM.fromPretrained(settings.dir, {
    backend: settings.backend,
    dtype: settings.dtype,
    lora: settings.lora,
    onProgress: ({ loadedValues, totalValues }) =>
      post({ type: 'loading', done: loadedValues, total: totalValues }),
    onNotice: (message) => post({ type: 'notice', message }),
  });
  const tokenizer = await Tokenizer.fromFile(settings.tokenizerPath);
  const slots = settings.slots ?? rowsThatFit(model.config);
  const cacheBytes = settings.prefixCacheBytes ?? Math.floor(freeMemory() / 4);
  const cache = new PrefixCache(cacheBytes, await prefixFiles(model), (error) =>
    post({ type: 'notice', message: messageOf(error) }),
  );
  const engine = new BatchEngine(model, tokenizer, slots, cache);
  serve(engine, model);
  const { backend, config } = model;
  const dtype = dtypeOf(model);
  post({ type: 'ready', backend, dtype, vocabSize: config.vocabSize, load: engine.load() });
} catch (error) {
  post({ type: 'failed', message: messageOf(error) });
}

function serve(engine: BatchEngine, model: CausalLM): void {
  const cancels = new Map<number, () => void>();
  const tell = outbox(engine);
  port?.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'submit': {
        const { id, job } = message;
        const onEvent = (event: JobEvent) => {
          if (event.type === 'end' || event.type === 'error') cancels.delete(id);
          tell(id, event);
        };
        try {
          cancels.set(id, engine.submit(job, onEvent));
        } catch (error) {
          onEvent({ type: 'error', message: messageOf(error), isDown: false });
        }
        return;
      }
      case 'cancel':
        cancels.get(message.id)?.();
        cancels.delete(message.id);
        return;
      case 'memory':
        post({ type: 'memory', tensors: tf.memory().numTensors, bytes: tf.memory().numBytes });
        return;
      case 'close':
        void engine.close().then(() => {
          model.dispose();
          port?.close();
        });
        return;
      default:
        message satisfies never;
    }
  });
}

/** Combines the events of a step into one message. */
function outbox(engine: BatchEngine): (id: number, event: JobEvent) => void {
  let events: [number, JobEvent][] = [];
  return (id, event) => {
    events.push([id, event]);
    if (events.length > 1) return;
    queueMicrotask(() => {
      post({ type: 'events', events, load: engine.load() });
      events = [];
    });
  };
}

async function prefixFiles(model: CausalLM): Promise<PrefixFiles | undefined> {
  const { prefixCacheDir: root, prefixCacheDirBytes: bytes, dir, lora } = settings;
  if (root === undefined) return undefined;
  const identity = await stateIdentity(dir, model, lora);
  return PrefixFiles.open(root, identity, model, bytes ?? DEFAULT_DIR_BYTES);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
