// Jobs for the server's engine and the events that it answers with: plain data, which can be sent to a worker.
import type {
  FinishReason,
  LogitsProcessor,
  ReneConfig,
  Tokenizer,
  TokenLogProb,
} from '@rene-js/rene';
import { type GenerationConfig, resolveOptions } from '@rene-js/rene/internal';

/** One prompt, and how it is continued. */
export interface Job {
  prompt: readonly number[];
  /** Who sent it. Slots and prefill are shared out among clients. Default: ''. */
  client?: string | undefined;
  /** Number of sequences. Sequence k draws from the seed and k, whatever runs beside it. */
  n: number;
  /** Maximum number of new tokens; 0 reads the prompt only. */
  maxTokens: number;
  /** Sampling parameters, as generate() has them. */
  temperature: number;
  topP: number;
  topK?: number | undefined;
  minP?: number | undefined;
  repetitionPenalty?: number | undefined;
  noRepeatNgramSize?: number | undefined;
  badWordsIds?: readonly (readonly number[])[] | undefined;
  /** Random unless given. */
  seed?: number | undefined;
  stop: readonly string[];
  /** Ids that end a sequence besides the end of text. */
  stopIds?: readonly number[] | undefined;
  /** The end of text is a token like any other. */
  ignoreEos?: boolean | undefined;
  minTokens?: number | undefined;
  logitBias?: Readonly<Record<string, number>> | undefined;
  /** Subtracted from the logits of new tokens that have come, once each. */
  presencePenalty?: number | undefined;
  /** Likewise, as often as they have come. */
  frequencyPenalty?: number | undefined;
  /** Log-probabilities of new tokens and so many others; none unless given. */
  logProbs?: number | undefined;
  /** Log-probabilities of the prompt's tokens too. Default false. */
  promptLogProbs?: boolean | undefined;
}

/** What an engine tells of a job, in order; nothing comes after its end. */
export type JobEvent =
  /** So many more tokens of the prompt have been read, or were known from another prompt. */
  | {
      type: 'prompt';
      tokens: number;
      cached?: boolean;
      /** Theirs, null for the prompt's first; undefined unless asked for. */
      logProbs: readonly (TokenLogProb | null)[] | undefined;
    }
  /** Sequence k got a token. */
  | {
      type: 'token';
      k: number;
      id: number;
      logProb: TokenLogProb | undefined;
      finishReason: FinishReason | undefined;
    }
  /** All is done. */
  | { type: 'end' }
  /** The job failed; no event follows. */
  | {
      type: 'error';
      message: string;
      /** The engine can run no job any more. */
      isDown: boolean;
    };

/** How busy an engine is, in sequences. */
export interface EngineLoad {
  /** Being decoded. */
  active: number;
  waiting: number;
  /** Most that are decoded together. */
  slots: number;
}

/** Runs jobs. */
export interface Engine {
  /** @returns a function that ends the job; after it no event comes */
  submit(job: Job, onEvent: (event: JobEvent) => void): () => void;
  /** Sequences that are decoded, those that wait, and slots in all. */
  load(): EngineLoad;
  /** Why no job can run any more; undefined while jobs can run. */
  readonly downReason?: string | undefined;
}

/** A job as generation understands it. @throws InvalidArgumentError for one that makes no sense */
export function jobGenerationConfig(
  job: Job,
  config: ReneConfig,
  tokenizer: Pick<Tokenizer, 'decodeStream'>,
): GenerationConfig {
  const { presencePenalty = 0, frequencyPenalty = 0, stopIds = [] } = job;
  const eos = job.ignoreEos ? [] : config.eosTokenIds;
  return resolveOptions(
    {
      temperature: job.temperature,
      topP: job.topP,
      topK: job.topK,
      minP: job.minP,
      repetitionPenalty: job.repetitionPenalty,
      noRepeatNgramSize: job.noRepeatNgramSize,
      badWordsIds: job.badWordsIds,
      seed: job.seed,
      maxNewTokens: Math.max(1, job.maxTokens),
      minNewTokens: job.minTokens,
      eosTokenId: [...eos, ...stopIds],
      stopStrings: job.stop,
      tokenizer,
      logitBias: job.logitBias,
      logProbs: job.logProbs,
      logitsProcessor:
        presencePenalty === 0 && frequencyPenalty === 0
          ? []
          : penalty(job.prompt.length, presencePenalty, frequencyPenalty),
    },
    config,
  );
}

/** OpenAI's penalties, which count new tokens only. */
function penalty(promptLength: number, presence: number, frequency: number): LogitsProcessor {
  return (scores, sequence) => {
    const counts = new Map<number, number>();
    for (const id of sequence.slice(promptLength)) counts.set(id, (counts.get(id) ?? 0) + 1);
    for (const [id, count] of counts) {
      scores[id] = (scores[id] ?? 0) - presence - frequency * count;
    }
  };
}
