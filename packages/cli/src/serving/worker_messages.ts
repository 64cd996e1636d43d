// What the server's thread and the model's thread say to each other.
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
  /** Of the backend 'simd'; its own default unless given. */
  threads?: number | undefined;
  /** Most sequences decoded together; unless given as many as 1 GiB of states allows, at most 64. */
  slots?: number | undefined;
  /** Bytes for the states of prompts and answers. Default: a quarter of the memory that is left. */
  prefixCacheBytes?: number | undefined;
}

export type ToWorker =
  | { type: 'submit'; id: number; job: Job }
  | { type: 'cancel'; id: number }
  /** Asks for a 'memory' message. */
  | { type: 'memory' }
  | { type: 'close' };

export type FromWorker =
  | { type: 'loading'; done: number; total: number }
  /** Something that the user should know of. */
  | { type: 'notice'; message: string }
  | { type: 'ready'; backend: string; vocabSize: number; load: EngineLoad }
  | { type: 'failed'; message: string }
  /** What has happened since the last such message, in order. */
  | { type: 'events'; events: [id: number, event: JobEvent][]; load: EngineLoad }
  | { type: 'memory'; tensors: number; bytes: number };
