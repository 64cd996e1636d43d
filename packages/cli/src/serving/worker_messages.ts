// Messages between the server's thread and the model's thread.
import type { WeightFormat } from '@rene-js/layers';
import type { EngineLoad, Job, JobEvent } from './job.js';

/** How the worker loads its model. */
export interface WorkerSettings {
  /** The model's folder. */
  dir: string;
  tokenizerPath: string;
  backend?: string | undefined;
  dtype?: 'auto' | WeightFormat | undefined;
  /** A LoRA adapter's folder, hub id or URL. */
  lora?: string | undefined;
  /** Threads of the backend 'simd'. Default: the backend's. */
  threads?: number | undefined;
  /** Maximum number of sequences per batch. Default: as many as 1 GiB of states allows, at most 64. */
  slots?: number | undefined;
  /** Size of the prefix cache. Default: a quarter of the free memory. */
  prefixCacheBytes?: number | undefined;
  /** Folder for states that memory has no room for. Default: none. */
  prefixCacheDir?: string | undefined;
  /** Maximum size of the files in it. Default: 10 GiB. */
  prefixCacheDirBytes?: number | undefined;
}

/** An adapter of the worker's model. It shares the weights that the adapter does not change. */
export interface AdapterSettings {
  /** The adapter's folder, hub id or URL. */
  lora: string;
  /** Size of its prefix cache. Default: 0. */
  prefixCacheBytes?: number | undefined;
}

/** `model` is 0 for the worker's own model, else the number of an adapter. Ids of jobs are unique in a worker. */
export type ToWorker =
  | { type: 'submit'; model: number; id: number; job: Job }
  | { type: 'cancel'; id: number }
  /** Loads an adapter; the answer is 'added' or 'refused'. */
  | { type: 'add'; model: number; adapter: AdapterSettings }
  /** Ends the jobs of an adapter and frees its memory; the answer is 'removed'. */
  | { type: 'remove'; model: number }
  /** Requests a 'memory' message. */
  | { type: 'memory' }
  | { type: 'close' };

export type FromWorker =
  | { type: 'loading'; done: number; total: number }
  /** A notice for the user. */
  | { type: 'notice'; message: string }
  | { type: 'ready'; backend: string; dtype: string; vocabSize: number; load: EngineLoad }
  | { type: 'failed'; message: string }
  /** Events since the last message, in order. */
  | { type: 'events'; model: number; events: [id: number, event: JobEvent][]; load: EngineLoad }
  | { type: 'added'; model: number; dtype: string; load: EngineLoad }
  | { type: 'refused'; model: number; message: string }
  | { type: 'removed'; model: number }
  | { type: 'memory'; tensors: number; bytes: number };
