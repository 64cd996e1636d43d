// A sequence during generation: its tokens, its sampler and why it ended.
import seedrandom from 'seedrandom';
import type { RecurrentState } from '../state.js';
import type { BatchMember, NextToken } from './batch.js';
import type { GenerationConfig } from './resolve_options.js';
import { noTokenError, type Sampler, type TokenLogProb } from './sampler.js';
import { StopStringWatcher } from './stopping.js';

/** Why a sequence ended: an end-of-text token, a stop string, or its maximum length. */
export type FinishReason = 'eos' | 'stop' | 'length';

export class Sequence implements BatchMember {
  /** Prompt and new tokens. */
  readonly ids: number[];
  readonly promptLength: number;
  /** The distinct tokens of `ids`. */
  readonly seen: Set<number>;
  readonly random: () => number;
  /** For each new token, with the option logProbs. */
  readonly logProbs: TokenLogProb[] = [];
  finishReason: FinishReason | undefined;
  /** The state after all but the last token, once the sequence has ended, with the option returnState. */
  state: RecurrentState | undefined;
  private readonly watcher: StopStringWatcher | undefined;
  private readonly maxLength: number;

  /** @param k index among the sequences of its prompt */
  constructor(
    prompt: readonly number[],
    k: number,
    private readonly config: GenerationConfig,
    private readonly sampler: Sampler,
  ) {
    const { maxLength, maxNewTokens, stopStrings, tokenizer, seed } = config;
    this.ids = [...prompt];
    this.promptLength = prompt.length;
    this.seen = new Set(prompt);
    this.random = seedrandom(`${seed}:${k}`);
    this.maxLength = Math.min(maxLength, prompt.length + maxNewTokens);
    if (tokenizer && stopStrings.length > 0) {
      this.watcher = new StopStringWatcher(stopStrings, tokenizer, prompt);
    }
  }

  get isFull(): boolean {
    return this.ids.length >= this.maxLength;
  }

  /** Maximum number of further tokens. */
  get room(): number {
    return this.maxLength - this.ids.length;
  }

  /** Whether its next token is its last. */
  get willBeFull(): boolean {
    return this.ids.length + 1 >= this.maxLength;
  }

  samplingParams() {
    return this.sampler.params(this);
  }

  /**
   * Appends the next token.
   *
   * @param next the token if it was sampled already, else the logits
   * @returns the token
   * @throws GenerationError if no token can be sampled
   */
  extend(next: NextToken): number {
    const { logProbs } = this.config;
    if (typeof next === 'number') {
      if (next < 0) throw noTokenError(Float32Array.of(Number.NaN), this.ids.length);
      this.push(next);
      return next;
    }
    const id = this.sampler.sample(next, this);
    if (logProbs !== undefined) this.logProbs.push(this.sampler.logProb(next, id, logProbs));
    this.push(id);
    return id;
  }

  private push(id: number): void {
    this.ids.push(id);
    this.seen.add(id);
    if (this.config.eosTokenIds.has(id)) this.finishReason = 'eos';
    else if (this.watcher?.push(id)) this.finishReason = 'stop';
    else if (this.isFull) this.finishReason = 'length';
  }
}
