// The worker's side: holds a model, its tokenizer and its states, and answers the page's calls.
import { useBackend } from '@rene-js/layers';
import { simdInfo } from '@rene-js/layers/simd';
import { anySignal } from '../../any_signal.js';
import { AutoModelForCausalLM } from '../../auto_model.js';
import { loadTemplateEngine } from '../../chat/template_engine.js';
import type { DownloadProgress } from '../../checkpoint/hub.js';
import { GenerationError } from '../../errors.js';
import type { GenerateResult } from '../../generation/generate.js';
import { streamText } from '../../generation/stream_text.js';
import type { CausalLM } from '../../model.js';
import type { RecurrentState } from '../../state.js';
import { Tokenizer } from '../../tokenizer.js';
import { ProgressReporter } from '../load_progress.js';
import type {
  LoadedInfo,
  Request,
  WireGenerateOptions,
  WireResult,
  WireState,
  WorkerSettings,
} from '../messages.js';
import type { Answer } from './answer.js';

interface Loaded {
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
}

export class ModelHost {
  private loaded: Loaded | undefined;
  private readonly states = new Map<number, RecurrentState>();
  private nextState = 1;

  /** Answers a call. Never rejects. */
  async handle(request: Request, answer: Answer): Promise<void> {
    try {
      answer.done(await this.run(request, answer));
    } catch (error) {
      answer.error(error);
    }
  }

  private async run(request: Request, answer: Answer): Promise<unknown> {
    if (request.method === 'load') return this.load(request.settings, answer);
    if (!this.loaded) throw new GenerationError('the worker has no model yet');
    const { model, tokenizer } = this.loaded;
    switch (request.method) {
      case 'generate': {
        const options = this.options(request.options, answer);
        const { stopStrings } = options;
        const all = stopStrings === undefined ? options : { ...options, tokenizer };
        return this.wireResult(await model.generate(request.ids, all));
      }
      case 'stream': {
        const options = this.options(request.options, answer);
        const { stopStrings } = options;
        const all = stopStrings === undefined ? options : { ...options, tokenizer };
        return this.wireResult(await answer.values(model.stream(request.ids, all)));
      }
      case 'streamText': {
        const options = this.options(request.options, answer);
        return this.wireResult(
          await answer.values(streamText(model, tokenizer, request.prompt, options)),
        );
      }
      case 'prefill':
        return this.keep(await model.prefill(request.ids, this.options(request.options, answer)));
      case 'encode':
        return tokenizer.encode(request.text, request.options);
      case 'decode': {
        const { ids, skipSpecialTokens = false } = request;
        return tokenizer.decode(ids, { skipSpecialTokens });
      }
      case 'applyChatTemplate':
        await loadTemplateEngine();
        return tokenizer.applyChatTemplate(request.messages, request.options);
      case 'gatherState':
        return this.keep(this.state(request.stateId).gather(request.rows));
      case 'disposeState':
        this.state(request.stateId).dispose();
        this.states.delete(request.stateId);
        return undefined;
      default:
        return request satisfies never;
    }
  }

  private async load(settings: WorkerSettings, answer: Answer): Promise<LoadedInfo> {
    if (this.loaded) throw new GenerationError('the worker has a model already');
    const { name, hub, tokenizer: tokenizerName = name, ...options } = settings;
    const onNotice = (notice: string) => answer.send({ type: 'notice', notice });
    const reporter = new ProgressReporter((progress) => answer.send({ type: 'loading', progress }));
    const fetched = {
      ...hub,
      ...{ onNotice, signal: answer.signal },
      onProgress: ({ file, bytes, totalBytes }: DownloadProgress) =>
        reporter.update('download', file, bytes, totalBytes || undefined),
    };
    const stop = new AbortController();
    const signal = anySignal([answer.signal, stop.signal]);
    // The backend, the model and the tokenizer load at the same time. The model's error is that of its backend.
    useBackend(options.backend).catch(() => {});
    const loading = AutoModelForCausalLM.fromPretrained(name, {
      ...options,
      hub: { ...fetched, signal },
      onNotice,
      onProgress({ name: weight, loadedValues, totalValues }) {
        signal.throwIfAborted();
        const phase = options.backend === 'webgpu' ? 'upload' : 'pack';
        reporter.update(phase, weight, loadedValues, totalValues);
      },
    });
    loading.catch(() => {});
    const tokenizer = await Tokenizer.fromPretrained(tokenizerName, fetched).catch(
      async (error) => {
        stop.abort();
        await loading.then(
          (model) => model.dispose(),
          () => {},
        );
        throw error;
      },
    );
    const model = await loading;
    this.loaded = { model, tokenizer };
    return {
      backend: model.backend,
      config: model.config,
      vocabSize: tokenizer.vocabSize,
      eosTokenId: tokenizer.eosTokenId,
      threads: model.backend === 'simd' ? simdInfo().threads : 1,
    };
  }

  /** The library's options from those that were sent. */
  private options<Options extends Pick<WireGenerateOptions, 'stateId'>>(
    { stateId, ...options }: Options,
    answer: Answer,
  ) {
    return {
      ...options,
      ...(stateId !== undefined && { state: this.state(stateId) }),
      signal: answer.signal,
      onProgress: answer.onProgress,
    };
  }

  private state(id: number): RecurrentState {
    const state = this.states.get(id);
    if (state) return state;
    throw new GenerationError('this state was disposed');
  }

  private keep(state: RecurrentState): WireState {
    const id = this.nextState++;
    this.states.set(id, state);
    return { id, positions: state.positions };
  }

  private wireResult({ state, ...result }: GenerateResult): WireResult {
    return { ...result, state: state && this.keep(state) };
  }
}
