// loadInWorker: a model in a Web Worker of its own, so that the page stays smooth.
import { InvalidArgumentError } from '@rene-js/layers/errors';
import { describeAdapter, findAdapter } from '@rene-js/layers/internal/adapter';
import type { HubOptions } from '../checkpoint/hub.js';
import { isRepoId, nameText } from '../checkpoint/model_names.js';
import { type OptionType, refuseUnknownOptions } from '../known_options.js';
import type { ModelOptions } from '../load_options.js';
import { persistCache } from './cached_models.js';
import type { LoadProgress } from './load_progress.js';
import type { LoadedInfo } from './messages.js';
import { startWorker, type WorkerKind } from './start_worker.js';
import { WorkerError } from './wire_errors.js';
import { WorkerClient } from './worker_client.js';
import { WorkerModel } from './worker_model.js';

/** Options of loadInWorker. */
export interface LoadInWorkerOptions extends Pick<ModelOptions, 'dtype' | 'groupSize'> {
  /**
   * 'simd' (the CPU, all cores on a page with cross-origin isolation), 'webgpu', 'cpu' (plain JavaScript) or 'auto':
   * webgpu where there is a GPU, else simd. Default: 'auto'.
   */
  backend?: 'auto' | 'simd' | 'webgpu' | 'cpu' | undefined;
  /** The tokenizer's URL or hub id. Default: the model's. */
  tokenizer?: string | URL | undefined;
  /** A PEFT LoRA adapter's URL or hub id. */
  lora?: string | URL | undefined;
  /** The hub that ids are looked up in: its address, a branch, a token. */
  hub?: Pick<HubOptions, 'endpoint' | 'revision' | 'token'> | undefined;
  /** Keep the files in the browser's storage, and read them from there the next time. Default: true. */
  cache?: boolean | undefined;
  /** Ask the browser not to delete the kept files when the disk is full; some browsers ask the user. Default: true. */
  persist?: boolean | undefined;
  /** Called a few times a second while files arrive and weights are packed. */
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Called with notices, such as that a dtype is rounded. Default: console.warn. */
  onNotice?: ((notice: string) => void) | undefined;
  /** Ends loading: the promise rejects with the signal's reason. Files that have arrived stay in the cache. */
  signal?: AbortSignal | undefined;
  /** URL of the worker's script, rene.worker.js. Default: found by the bundler, or beside rene.browser.js. */
  workerUrl?: string | URL | undefined;
}

const KNOWN: Readonly<Record<keyof LoadInWorkerOptions, OptionType>> = {
  dtype: true,
  groupSize: 'number',
  backend: 'string',
  tokenizer: true,
  lora: true,
  hub: 'object',
  cache: 'boolean',
  persist: 'boolean',
  onProgress: 'function',
  onNotice: 'function',
  signal: 'object',
  workerUrl: true,
};

const BACKENDS: readonly string[] = ['auto', 'simd', 'webgpu', 'cpu'];

/**
 * Loads a model and its tokenizer in a new worker.
 *
 * @param idOrUrl a URL, a path relative to the page ('/models/x', './x'), or a hub id
 * @throws InvalidArgumentError, ConfigError, CheckpointError, TokenizerError, BackendError; WorkerError if no worker
 *   starts; the signal's reason
 */
export async function loadInWorker(
  idOrUrl: string | URL,
  options: LoadInWorkerOptions = {},
): Promise<WorkerModel> {
  refuseUnknownOptions(options, KNOWN, 'options');
  const { tokenizer, lora, onProgress, signal, workerUrl, backend = 'auto', ...others } = options;
  const {
    hub = {},
    cache = true,
    persist = cache,
    dtype,
    groupSize,
    onNotice = console.warn,
  } = others;
  if (!BACKENDS.includes(backend)) {
    throw new InvalidArgumentError('backend', `one of ${BACKENDS.join(', ')}`, `'${backend}'`);
  }
  const name = absolute(idOrUrl);
  signal?.throwIfAborted();
  // A worker cannot ask. Loading does not wait for the user's answer.
  if (cache && persist) void persistCache().catch(() => {});
  const kind = await kindFor(backend);
  const script = workerUrl === undefined ? undefined : new URL(workerUrl, base()).href;
  const worker = await startWorker(kind, script);
  const client = new WorkerClient(worker);
  worker.onerror = ({ message }) => {
    client.end(new WorkerError(`the worker of this model failed: ${message || 'out of memory?'}`));
  };
  try {
    const { endpoint, ...rest } = hub;
    const settings = {
      ...{
        name,
        dtype,
        groupSize,
        backend: kind === 'simd' && backend === 'auto' ? 'simd' : backend,
      },
      tokenizer: tokenizer === undefined ? undefined : absolute(tokenizer),
      lora: lora === undefined ? undefined : absolute(lora),
      hub: { ...rest, cache, endpoint: endpoint && new URL(endpoint, base()).href },
    };
    const loaded = await client.call<LoadedInfo>(
      { method: 'load', settings },
      {
        signal,
        onReply(reply) {
          if (reply.type === 'loading') onProgress?.(reply.progress);
          if (reply.type === 'notice') onNotice(reply.notice);
        },
      },
    );
    return new WorkerModel(client, loaded);
  } catch (error) {
    client.end();
    throw signal?.aborted ? signal.reason : error;
  }
}

/** With 'auto' the worker for webgpu, which is larger, is used only if there is a GPU. */
async function kindFor(backend: string): Promise<WorkerKind> {
  if (backend !== 'auto') return backend === 'webgpu' ? 'webgpu' : 'simd';
  const adapter = await findAdapter().catch(() => undefined);
  return adapter && !describeAdapter(adapter.info).isSoftware ? 'webgpu' : 'simd';
}

/** A name for the worker, which has another base than the page. */
function absolute(name: string | URL): string {
  const text = nameText(name);
  return isRepoId(text) || !URL.canParse(text, base()) ? text : new URL(text, base()).href;
}

function base(): string | undefined {
  const page: unknown = Reflect.get(globalThis, 'document') ?? Reflect.get(globalThis, 'location');
  if (typeof page !== 'object' || page === null) return undefined;
  const url: unknown = Reflect.get(page, 'baseURI') ?? Reflect.get(page, 'href');
  return typeof url === 'string' ? url : undefined;
}
