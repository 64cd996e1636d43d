// Options of the HTTP server, and the context of its routes.
import type { Tokenizer } from '@rene-js/rene';
import type { ApiKeys } from './api_keys.js';
import type { Engine, EngineLoad } from './job.js';
import type { ModelPool } from './model_pool.js';
import type { SlowReaders } from './slow_readers.js';
import type { PromptEncoder } from './tokenizer_thread.js';

/** What to serve, to whom, and within which limits. */
export interface ServerOptions {
  engine: Engine;
  tokenizer: Tokenizer;
  /** Tokenises prompts. Default: the tokenizer, in this thread. */
  encoder?: PromptEncoder | undefined;
  /** The chat template of /v1/chat/completions. Default: the tokenizer's. */
  chatTemplate?: string | undefined;
  /** The model's name in /v1/models and in requests. */
  modelName: string;
  /** Further models, which requests name. Default: none. */
  pool?: ModelPool | undefined;
  /** Upper bound of the model's token ids. */
  vocabSize: number;
  /** Maximum number of tokens of a prompt and its continuation. Default: 4096. */
  maxLength?: number | undefined;
  /** Maximum number of waiting sequences; beyond it requests get 429. Default: 256. */
  maxWaiting?: number | undefined;
  /** Maximum number of bytes of a request. Default: 4 MiB. */
  bodyLimit?: number | undefined;
  /** Keys, one of which clients must send as a bearer token. Default: none. */
  apiKey?: string | readonly string[] | undefined;
  /** Origins of web pages that may send requests (CORS); '*' for any. Default: none. */
  corsOrigins?: readonly string[] | undefined;
  /**
   * Host names to accept besides localhost and IP addresses on a loopback address without an API key; '*'
   * for any. Default: none.
   */
  allowedHosts?: readonly string[] | undefined;
  /** Timeout for a client to send its headers, in milliseconds. Default: 20,000. */
  headersTimeout?: number | undefined;
  /** Timeout for a client to send its request, in milliseconds. Default: 60,000. */
  requestTimeout?: number | undefined;
  /** Timeout for a client to read a part of its answer, in milliseconds. Default: 30,000. */
  writeTimeout?: number | undefined;
  /** Maximum number of unsent bytes of all answers together. Default: 256 MiB. */
  maxUnsent?: number | undefined;
  /** Log each request as a line of JSON on stderr. Default: false. */
  log?: boolean | undefined;
  /** Called with internal errors, which clients see as 500. */
  onError?: ((error: Error) => void) | undefined;
}

/** What the routes share: the options with their defaults. */
export interface ServerContext extends ServerOptions {
  encoder: PromptEncoder;
  maxLength: number;
  maxWaiting: number;
  apiKeys: ApiKeys;
  slowReaders: SlowReaders;
  /** The load of all models. */
  load(): EngineLoad;
  /** Counts the work of an engine in the metrics. */
  countEngine(engine: Engine): Engine;
}
