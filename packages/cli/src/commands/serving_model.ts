// Loads a model into its thread, for the commands that serve requests.
import { readModelConfig, Tokenizer } from '@rene-js/rene';
import { resultIdentity } from '../model_identity.js';
import { TokenizerThread } from '../serving/tokenizer_thread.js';
import { WorkerEngine } from '../serving/worker_engine.js';
import {
  checkVocabulary,
  modelFolder,
  onNotice,
  readChatTemplate,
  servedName,
  tokenizerPath,
} from './load.js';
import type { LoadOptions } from './model_options.js';
import { withProgressBar } from './progress_bar.js';

export interface ServingOptions extends LoadOptions {
  servedModelName?: string;
  chatTemplate?: string;
  maxBatch?: number;
  prefixCacheBytes?: number;
  prefixCacheDir?: string;
  prefixCacheDirBytes?: number;
}

/** A model that is ready to serve. */
export interface ServingModel {
  engine: WorkerEngine;
  tokenizer: Tokenizer;
  encoder: TokenizerThread;
  modelName: string;
  chatTemplate: string | undefined;
  vocabSize: number;
  /** The model's folder. */
  dir: string;
  /** A hash of the files and the dtype: models with the same one give the same answers. */
  identity(): Promise<string>;
}

/** @throws CheckpointError, HubError, TokenizerError, ServingError */
export async function startServingModel(
  name: string,
  options: ServingOptions,
): Promise<ServingModel> {
  const { backend, dtype, lora, threads, maxBatch: slots, prefixCacheBytes } = options;
  const dir = await modelFolder(name, options.revision);
  const path = await tokenizerPath(dir, options.tokenizer);
  const tokenizer = await Tokenizer.fromFile(path);
  checkVocabulary(tokenizer, await readModelConfig(dir));
  const chatTemplate = await readChatTemplate(options.chatTemplate);
  const model = { dir, tokenizerPath: path, backend, dtype, lora, threads };
  const { prefixCacheDir, prefixCacheDirBytes } = options;
  const cache = { prefixCacheBytes, prefixCacheDir, prefixCacheDirBytes };
  const settings = { ...model, slots, ...cache };
  const engine = await withProgressBar(
    'loading the model [{bar}] {percentage}% {eta_formatted} left',
    (onProgress) => WorkerEngine.start(settings, { onProgress, onNotice }),
  );
  return {
    dir,
    engine,
    tokenizer,
    encoder: new TokenizerThread(path, tokenizer),
    modelName: options.servedModelName ?? (await servedName(name)),
    chatTemplate,
    vocabSize: engine.vocabSize,
    identity: () =>
      resultIdentity(dir, { dtype: engine.dtype, tokenizerPath: path, lora, chatTemplate }),
  };
}
