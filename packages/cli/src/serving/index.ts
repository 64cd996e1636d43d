/**
 * The HTTP server of `rene serve`, for use in other programs.
 *
 * ```ts
 * const engine = await WorkerEngine.start({ dir, tokenizerPath });
 * const tokenizer = await Tokenizer.fromFile(tokenizerPath);
 * const { vocabSize } = engine;
 * const server = createServer({ engine, tokenizer, modelName: 'rene', vocabSize });
 * await server.listen({ port: 8000 });
 * ```
 *
 * @module @rene-js/cli/serving
 */
export { AdapterEngine } from './adapter_engine.js';
export { BatchEngine } from './batch_engine.js';
export type { Engine, EngineLoad, Job, JobEvent } from './job.js';
export { createServer } from './server.js';
export type { ServerOptions } from './server_options.js';
export { type PromptEncoder, TokenizerThread } from './tokenizer_thread.js';
export { type LoadCallbacks, ServingError, WorkerEngine } from './worker_engine.js';
export type { AdapterSettings, WorkerSettings } from './worker_messages.js';
