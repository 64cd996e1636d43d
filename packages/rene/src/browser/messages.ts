// Messages between a page and the worker that runs its model. Each call has a MessagePort of its own.
import type { ModelConfig } from '../architectures/model_config.js';
import type { ChatMessage, ChatTemplateOptions } from '../chat/chat_template.js';
import type { HubOptions } from '../checkpoint/hub.js';
import type { GenerateResult } from '../generation/generate.js';
import type { GenerateOptions, StreamOptions } from '../generation/options.js';
import type { GenerationProgress } from '../generation/progress.js';
import type { ModelOptions } from '../load_options.js';
import type { EncodeOptions } from '../tokenizer.js';
import type { LoadProgress } from './load_progress.js';
import type { WireError } from './wire_errors.js';

/** What the worker loads. URLs are absolute. */
export interface WorkerSettings extends Pick<ModelOptions, 'backend' | 'dtype' | 'groupSize'> {
  name: string;
  /** Default: the model's. */
  tokenizer: string | undefined;
  lora: string | undefined;
  hub: Omit<HubOptions, 'signal' | 'onProgress' | 'onNotice'>;
}

type ForWorker<Options> = Omit<
  Options,
  'signal' | 'onProgress' | 'state' | 'tokenizer' | 'logitsProcessor' | 'assistantModel'
> & { stateId?: number | undefined };

export type WireGenerateOptions = ForWorker<GenerateOptions>;
export type WireStreamOptions = ForWorker<StreamOptions>;

/** A state that the worker keeps. */
export interface WireState {
  id: number;
  positions: readonly number[];
}

export interface WireResult extends Omit<GenerateResult, 'state'> {
  state: WireState | undefined;
}

export interface LoadedInfo {
  backend: string;
  config: ModelConfig;
  vocabSize: number;
  eosTokenId: number | null;
  /** Of the backend simd; 1 with another. */
  threads: number;
}

type Prompts = readonly number[] | readonly (readonly number[])[];

export type Request =
  | { method: 'load'; settings: WorkerSettings }
  | { method: 'generate'; ids: Prompts; options: WireGenerateOptions }
  | { method: 'stream'; ids: readonly number[]; options: WireStreamOptions }
  | { method: 'streamText'; prompt: string; options: WireStreamOptions }
  | { method: 'prefill'; ids: Prompts; options: { stateId?: number | undefined } }
  | { method: 'encode'; text: string; options: EncodeOptions | undefined }
  | { method: 'decode'; ids: readonly number[]; skipSpecialTokens: boolean | undefined }
  | {
      method: 'applyChatTemplate';
      messages: readonly ChatMessage[];
      options: ChatTemplateOptions | undefined;
    }
  | { method: 'gatherState'; stateId: number; rows: readonly number[] }
  | { method: 'disposeState'; stateId: number };

/** Sent on the worker itself; `port` answers. */
export interface ToWorker {
  request: Request;
  port: Port;
}

/** Sent on a call's port by the page. */
export type Control =
  /** Ends the call with an AbortError. */
  | 'abort'
  /** The consumer has taken a value. */
  | 'taken';

/** Sent on a call's port by the worker. */
export type Reply<Value, Result> =
  | { type: 'value'; value: Value }
  | { type: 'loading'; progress: LoadProgress }
  | { type: 'progress'; progress: GenerationProgress }
  | { type: 'notice'; notice: string }
  | { type: 'done'; result: Result }
  | { type: 'error'; error: WireError };

/** Streamed values that the worker may send before the page has taken them. */
export const WINDOW = 8;

/** The part of a MessagePort that pages and Node share. */
export interface Port {
  postMessage(message: unknown): void;
  close(): void;
}

/** Calls `handle` with each message of a port or worker. */
export function listen<Message>(port: object, handle: (message: Message) => void): void {
  Reflect.set(port, 'onmessage', (event: { data: Message }) => handle(event.data));
}
