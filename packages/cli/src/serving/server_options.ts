// Options of the HTTP server, and the context that its routes share.
import type { Tokenizer } from '@rene-js/rene';
import type { ApiKeys } from './api_keys.js';
import type { Engine } from './job.js';
import type { SlowReaders } from './slow_readers.js';
import type { PromptEncoder } from './tokenizer_thread.js';

/** What is served, to whom, and within which limits. */
export interface ServerOptions {
  engine: Engine;
  tokenizer: Tokenizer;
  /** Tokenises prompts. Default: the tokenizer, which blocks this thread for long texts. */
  encoder?: PromptEncoder | undefined;
  /** What /v1/models lists, and requests name. */
  modelName: string;
  /** Ids below it are the model's. */
  vocabSize: number;
  /** Maximum number of tokens of a prompt and its continuation. Default: 4096. */
  maxLength?: number | undefined;
  /** Sequences that may wait; beyond it requests get 429. Default: 256. */
  maxWaiting?: number | undefined;
  /** Maximum number of bytes of a request. Default: 4 MiB. */
  bodyLimit?: number | undefined;
  /** Clients must send it, or one of several, as a bearer token. Default: none. */
  apiKey?: string | readonly string[] | undefined;
  /** Origins of web pages that may send requests (CORS); '*' for any. Default: none. */
  corsOrigins?: readonly string[] | undefined;
  /**
   * Host names that a server on a loopback address without an API key answers to, besides localhost
   * and IP addresses; '*' for any. Default: none.
   */
  allowedHosts?: readonly string[] | undefined;
  /** Milliseconds for a client to send its headers, or nothing at all. Default: 20,000. */
  headersTimeout?: number | undefined;
  /** Milliseconds for a client to send its request. Default: 60,000. */
  requestTimeout?: number | undefined;
  /** Milliseconds in which a client must read some of its answer. Default: 30,000. */
  writeTimeout?: number | undefined;
  /** Maximum number of unsent bytes of all answers together. Default: 256 MiB. */
  maxUnsent?: number | undefined;
  /** Writes a line of JSON for each request to stderr. Default: false. */
  log?: boolean | undefined;
  /** Called with errors that are the server's own fault, which clients see as 500. */
  onError?: ((error: Error) => void) | undefined;
}

/** What the routes share: the options with their defaults. */
export interface ServerContext extends ServerOptions {
  encoder: PromptEncoder;
  maxLength: number;
  maxWaiting: number;
  apiKeys: ApiKeys;
  slowReaders: SlowReaders;
}
