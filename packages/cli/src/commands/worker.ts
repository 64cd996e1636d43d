// `rene worker --queue URL`: does work that is given through Redis.
import { once } from 'node:events';
import { EMBEDDED_MODEL, PrefixCache, rowsThatFit } from '@rene-js/rene/internal';
import { serverAnswers } from '../batch/run_batch.js';
import { dtypeOf, resultIdentity } from '../model_identity.js';
import { startConsumer } from '../scale_out/consumer.js';
import { workWith } from '../scale_out/do_work.js';
import { connect, disconnect, loadBullMq, shownUrl } from '../scale_out/redis.js';
import { register } from '../scale_out/registry.js';
import { BatchEngine } from '../serving/batch_engine.js';
import { createServer } from '../serving/server.js';
import { stopSignals } from './interrupt.js';
import {
  checkVocabulary,
  loadModel,
  loadTokenizer,
  modelFolder,
  onNotice,
  readChatTemplate,
  servedName,
  tokenizerPath,
} from './load.js';
import type { WorkerOptions } from './worker_options.js';

export async function runWorker(options: WorkerOptions): Promise<void> {
  const where = shownUrl(options.queue);
  await loadBullMq();
  const redis = await connect(options.queue, onNotice); // before a large model is loaded
  try {
    await work(options, redis, where);
  } finally {
    disconnect(redis);
  }
}

async function work(
  options: WorkerOptions,
  redis: Awaited<ReturnType<typeof connect>>,
  where: string,
): Promise<void> {
  const { model: name = EMBEDDED_MODEL, lora, maxLength } = options;
  const dir = await modelFolder(name, options.revision);
  const tokenizer = await loadTokenizer(dir, options.tokenizer);
  const chatTemplate = await readChatTemplate(options.chatTemplate);
  const modelName = options.servedModelName ?? (await servedName(name));
  const model = await loadModel(dir, options);
  checkVocabulary(tokenizer, model.config);
  const path = await tokenizerPath(dir, options.tokenizer);
  const settings = { dtype: dtypeOf(model), tokenizerPath: path, lora, chatTemplate };
  const identity = await resultIdentity(dir, settings);
  const stop = stopSignals();
  await register(redis, modelName, identity, stop.signal);
  const { maxBatch = rowsThatFit(model.config), prefixCacheBytes = DEFAULT_CACHE } = options;
  const engine = new BatchEngine(model, tokenizer, maxBatch, new PrefixCache(prefixCacheBytes));
  const server = createServer({
    ...{ engine, tokenizer, modelName, chatTemplate, maxLength },
    vocabSize: model.config.vocabSize,
    maxWaiting: Number.MAX_SAFE_INTEGER,
    bodyLimit: Number.MAX_SAFE_INTEGER,
    onError: ({ stack }) => onNotice(`error: ${stack}`),
  });
  const doWork = workWith(model, tokenizer, serverAnswers(server, engine));
  const worker = await startConsumer(redis, identity, doWork, { ...options, onNotice });
  onNotice(
    `${modelName} is ready: takes work from ${where} ` +
      `(backend ${model.backend}, dtype ${settings.dtype}, fingerprint ${identity})`,
  );
  if (!stop.signal.aborted) await once(stop.signal, 'abort');
  onNotice('finishing the slice in progress; a second signal ends the worker at once');
  await worker.close();
  await server.close();
  await engine.close();
  model.dispose();
}

/** Bytes of states of prompts. */
const DEFAULT_CACHE = 2 ** 30;
