// Jobs of the server's engine and their events: plain data, which can be sent to a worker.
import type {
  FinishReason,
  LogitsProcessor,
  ModelConfig,
  Tokenizer,
  TokenLogProb,
} from '@rene-js/rene';
import { type GenerationConfig, resolveOptions } from '@rene-js/rene/internal';

/** One prompt and its generation options. */
export interface Job {
  prompt: readonly number[];
  /** The client. Clients share slots and prefill equally. Default: ''. */
  client?: string | undefined;
  /** Number of sequences. Sequence k depends only on the seed and k. */
  n: number;
  /** Maximum number of new tokens; 0 runs prefill only. */
  maxTokens: number;
  /** Sampling parameters, as in generate(). */
  temperature: number;
  topP: number;
  topK?: number | undefined;
  minP?: number | undefined;
  typicalP?: number | undefined;
  epsilonCutoff?: number | undefined;
  etaCutoff?: number | undefined;
  repetitionPenalty?: number | undefined;
  noRepeatNgramSize?: number | undefined;
  badWordsIds?: readonly (readonly number[])[] | undefined;
  /** Default: random. */
  seed?: number | undefined;
  stop: readonly string[];
  /** End tokens besides the end of text. */
  stopIds?: readonly number[] | undefined;
  /** The only tokens that may occur. Default: all. */
  allowedIds?: readonly number[] | undefined;
  /** Treat the end of text like any other token. */
  ignoreEos?: boolean | undefined;
  minTokens?: number | undefined;
  logitBias?: Readonly<Record<string, number>> | undefined;
  /** Subtracted once from the logits of new tokens that occurred. */
  presencePenalty?: number | undefined;
  /** Subtracted for each occurrence. */
  frequencyPenalty?: number | undefined;
  /** Return log-probabilities of new tokens and of this many alternatives. Default: none. */
  logProbs?: number | undefined;
  /** Return log-probabilities of prompt tokens too. Default: false. */
  promptLogProbs?: boolean | undefined;
}

/** Events of a job, in order. None follows the last one. */
export type JobEvent =
  /** Number of further prompt tokens that were prefilled or cached. */
  | {
      type: 'prompt';
      tokens: number;
      cached?: boolean;
      /** Their log-probabilities, null for the first token; undefined if not requested. */
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
  /** All sequences have ended. */
  | { type: 'end' }
  /** The job failed. */
  | {
      type: 'error';
      message: string;
      /** The engine cannot run jobs any more. */
      isDown: boolean;
    };

/** Load of an engine, in sequences. */
export interface EngineLoad {
  /** Sequences in the batch. */
  active: number;
  waiting: number;
  /** Size of the batch. */
  slots: number;
  /** Bytes of the prefix cache in memory. Default: 0. */
  cacheBytes?: number;
}

/** Runs jobs. */
export interface Engine {
  /** @returns a function that ends the job; no event follows */
  submit(job: Job, onEvent: (event: JobEvent) => void): () => void;
  /** Number of sequences in the batch and waiting, and of slots. */
  load(): EngineLoad;
  /** The reason why jobs cannot run; undefined while they can. */
  readonly downReason?: string | undefined;
}

/** A job's generation options. @throws InvalidArgumentError if they are invalid */
export function jobGenerationConfig(
  job: Job,
  config: ModelConfig,
  tokenizer: Pick<Tokenizer, 'decodeStream'>,
): GenerationConfig {
  const { presencePenalty = 0, frequencyPenalty = 0, stopIds = [], allowedIds } = job;
  const eos = job.ignoreEos ? [] : config.eosTokenIds;
  return resolveOptions(
    {
      temperature: job.temperature,
      topP: job.topP,
      topK: job.topK,
      minP: job.minP,
      typicalP: job.typicalP,
      epsilonCutoff: job.epsilonCutoff,
      etaCutoff: job.etaCutoff,
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
      logitsProcessor: [
        ...(presencePenalty === 0 && frequencyPenalty === 0
          ? []
          : [penalty(job.prompt.length, presencePenalty, frequencyPenalty)]),
        ...(allowedIds ? [allow(allowedIds)] : []),
      ],
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

/** Rules out all other tokens. */
function allow(ids: readonly number[]): LogitsProcessor {
  const allowed = new Set(ids);
  return (scores) => {
    for (const id of scores.keys()) if (!allowed.has(id)) scores[id] = Number.NEGATIVE_INFINITY;
  };
}
