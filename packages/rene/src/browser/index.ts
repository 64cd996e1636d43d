/**
 * Models in a web page: in a worker, so that the page stays smooth.
 *
 * ```ts
 * import { loadInWorker } from '@rene-js/rene/browser';
 * const model = await loadInWorker('/models/rene-tiny', { onProgress: console.log });
 * for await (const piece of model.streamText('A lighthouse is')) output.append(piece);
 * model.dispose();
 * ```
 *
 * @module @rene-js/rene/browser
 */

export { BackendError, InvalidArgumentError } from '@rene-js/layers/errors';
export * from '../errors.js';
export { GenerationAbortedError } from '../generation/abort.js';
export { type CachedModel, deleteCached, listCached, persistCache } from './cached_models.js';
export { type LoadInWorkerOptions, loadInWorker } from './load_in_worker.js';
export type { LoadProgress } from './load_progress.js';
export { WorkerError } from './wire_errors.js';
export type {
  WorkerGenerateOptions,
  WorkerGenerateResult,
  WorkerModel,
  WorkerPrefillOptions,
  WorkerStreamOptions,
} from './worker_model.js';
export type { WorkerState } from './worker_state.js';
export type { WorkerTokenizer } from './worker_tokenizer.js';
