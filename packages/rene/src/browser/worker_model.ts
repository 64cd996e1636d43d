// A model in a worker, with the face of CausalLM.
import { InvalidArgumentError } from '@rene-js/layers/errors';
import type { ModelConfig } from '../architectures/model_config.js';
import type { GenerateResult } from '../generation/generate.js';
import type { GenerateOptions, StreamOptions } from '../generation/options.js';
import type { ProgressOptions } from '../generation/progress.js';
import { checkIsOptions } from '../known_options.js';
import type { LoadedInfo, Reply, WireResult, WireState } from './messages.js';
import type { WorkerClient } from './worker_client.js';
import { WorkerState } from './worker_state.js';
import { WorkerTokenizer } from './worker_tokenizer.js';

/** Without what a worker cannot take: functions and models of the page. Its own tokenizer finds stop strings. */
type InWorker<Options> = Omit<
  Options,
  'state' | 'tokenizer' | 'logitsProcessor' | 'assistantModel'
> & {
  /** State that the prompt continues. It is not changed. */
  state?: WorkerState | undefined;
};

export type WorkerGenerateOptions = InWorker<GenerateOptions>;
export type WorkerStreamOptions = InWorker<StreamOptions>;

/** As GenerateResult, with a state in the worker. */
export interface WorkerGenerateResult extends Omit<GenerateResult, 'state'> {
  state: WorkerState | undefined;
}

export interface WorkerPrefillOptions extends ProgressOptions {
  /** State that the prompt continues. It is not changed. */
  state?: WorkerState | undefined;
}

/** A language model in a Web Worker. dispose() ends the worker and frees its memory. */
export class WorkerModel {
  /** The tfjs backend of the parameters. */
  readonly backend: string;
  /** The model's configuration. */
  readonly config: ModelConfig;
  /** Threads of the backend simd; 1 with another, and on pages without cross-origin isolation. */
  readonly threads: number;
  readonly tokenizer: WorkerTokenizer;

  /** @internal Use loadInWorker. */
  constructor(
    private readonly client: WorkerClient,
    { backend, config, threads, vocabSize, eosTokenId }: LoadedInfo,
  ) {
    this.backend = backend;
    this.config = config;
    this.threads = threads;
    this.tokenizer = new WorkerTokenizer(client, vocabSize, eosTokenId);
  }

  /**
   * As CausalLM.generate.
   *
   * @throws InvalidArgumentError, GenerationError, GenerationAbortedError, WorkerError
   */
  async generate(
    ids: readonly number[] | readonly (readonly number[])[],
    options: WorkerGenerateOptions = {},
  ): Promise<WorkerGenerateResult> {
    const { call, wire } = this.split(options);
    return this.toResult(
      await this.client.call<WireResult>({ method: 'generate', ids, options: wire }, call),
    );
  }

  /**
   * As CausalLM.stream: yields each new token's id; the return value is generate's result. The worker computes at most
   * a few tokens ahead of the consumer.
   */
  async *stream(
    ids: readonly number[],
    options: WorkerStreamOptions = {},
  ): AsyncGenerator<number, WorkerGenerateResult, void> {
    const { call, wire } = this.split(options);
    const request = { method: 'stream', ids, options: wire } as const;
    return this.toResult(yield* this.client.values<number, WireResult>(request, call));
  }

  /** As streamText: continues a text and yields pieces of text. */
  async *streamText(
    prompt: string,
    options: WorkerStreamOptions = {},
  ): AsyncGenerator<string, WorkerGenerateResult, void> {
    const { call, wire } = this.split(options);
    const request = { method: 'streamText', prompt, options: wire } as const;
    return this.toResult(yield* this.client.values<string, WireResult>(request, call));
  }

  /**
   * As CausalLM.prefill.
   *
   * @returns the state after the prompts, one row each; dispose it
   */
  async prefill(
    ids: readonly number[] | readonly (readonly number[])[],
    options: WorkerPrefillOptions = {},
  ): Promise<WorkerState> {
    const { call, wire } = this.split(options);
    const state = await this.client.call<WireState>(
      { method: 'prefill', ids, options: wire },
      call,
    );
    return new WorkerState(this.client, state);
  }

  /** Ends the worker, with all states and running generations. */
  dispose(): void {
    this.client.end();
  }

  /** What stays in the page of a call's options, and what goes to the worker. */
  private split<Options extends InWorker<ProgressOptions>>(options: Options) {
    checkIsOptions(options);
    const { signal, onProgress, state, ...rest } = options;
    if ('logitsProcessor' in rest && rest.logitsProcessor !== undefined) {
      throw new InvalidArgumentError(
        'logitsProcessor',
        'none, since a function cannot be sent to a worker (logitBias and badWordsIds can; or load the model ' +
          'with fromPretrained in a worker of your own)',
        'a function',
      );
    }
    if ('tokenizer' in rest) delete rest.tokenizer; // The worker has its own.
    if (state !== undefined && !(state instanceof WorkerState && state.client === this.client)) {
      throw new InvalidArgumentError('state', 'a state of this model', 'another');
    }
    const onReply = (reply: Reply<unknown, never>) => {
      if (reply.type === 'progress') onProgress?.(reply.progress);
    };
    return { call: { signal, onReply }, wire: { ...rest, stateId: state?.id } };
  }

  private toResult(result: WireResult): WorkerGenerateResult {
    const { state } = result;
    return { ...result, state: state && new WorkerState(this.client, state) };
  }
}
