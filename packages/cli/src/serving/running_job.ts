// A job in progress and its sequences.

import type { GenerationModel, RecurrentState, TokenLogProb } from '@rene-js/rene';
import {
  type GenerationConfig,
  isStored,
  lastStored,
  type NextToken,
  nextStop,
  PREFILL_CHUNK,
  type PrefilledPart,
  type PrefixCache,
  prefillParts,
  Sampler,
  type SamplerBuffers,
  Sequence,
  type StoragePlan,
} from '@rene-js/rene/internal';
import type { Job, JobEvent } from './job.js';
import type { Schedulable } from './schedule.js';

export class RunningJob implements Schedulable {
  readonly client: string;
  readonly sequences: readonly JobSequence[];
  /** The state after the prefilled part of the prompt; kept until all sequences have joined the batch. */
  state: RecurrentState | undefined;
  /** Number of prefilled prompt tokens. */
  read = 0;
  /** Finished, failed or cancelled. */
  isOver = false;
  private parts: AsyncGenerator<PrefilledPart, void, void> | undefined;
  private plan: StoragePlan | undefined;
  /** Where `parts` ends. */
  private stop = 0;
  /** Log-probabilities of the prefilled tokens, if requested. */
  private readonly logProbs: (TokenLogProb | null)[] = [];
  /** Logits of the last prefilled token. */
  private logits: Float32Array | undefined;
  private readonly sampler: Sampler;

  constructor(
    readonly job: Job,
    config: GenerationConfig,
    buffers: SamplerBuffers,
    readonly onEvent: (event: JobEvent) => void,
  ) {
    this.client = job.client ?? '';
    this.sampler = new Sampler(config, buffers);
    this.sequences = Array.from(
      { length: job.n },
      (_, k) => new JobSequence(this, k, config, this.sampler),
    );
  }

  get isRead(): boolean {
    return this.read === this.job.prompt.length;
  }

  get remaining(): number {
    return this.job.prompt.length - this.read + this.job.maxTokens;
  }

  /**
   * Prefills the next chunk, or takes the first one from the cache. At the end of the prompt each sequence
   * gets its first token.
   */
  async readPart(model: GenerationModel, cache: PrefixCache): Promise<void> {
    try {
      if (!this.state) await this.begin(model, cache);
      else await this.readNext(model, cache);
    } catch (error) {
      this.fail(error);
    }
  }

  private async begin(model: GenerationModel, cache: PrefixCache): Promise<void> {
    const { prompt, promptLogProbs, logProbs: top = 0 } = this.job;
    // Scores of answers differ in their last tokens: lm-eval sends the same question with each answer.
    const end = this.isScored ? prompt.length - 1 : prompt.length;
    this.plan = cache.plan(prompt, PREFILL_CHUNK.interleaved, end);
    const cached = await cache.find(prompt, promptLogProbs ? top : undefined);
    this.state = cached?.state ?? model.initialState(1);
    if (!cached) return this.readNext(model, cache);
    const { tokens, logProbs } = cached;
    this.read = tokens;
    this.logits = cached.logits;
    for (const value of logProbs ?? []) this.logProbs.push(value);
    this.onEvent({ type: 'prompt', tokens, cached: true, logProbs });
    if (this.isRead) this.start(cached.logits);
  }

  private async readNext(model: GenerationModel, cache: PrefixCache): Promise<void> {
    const { state, plan, read } = this;
    const { prompt, promptLogProbs, logProbs: top = 0 } = this.job;
    if (!state || !plan) return;
    if (!this.parts || read === this.stop) {
      this.stop = nextStop(plan, read, prompt.length);
      const kept = promptLogProbs ? 'all' : 'last';
      const ids = prompt.slice(read, this.stop);
      this.parts = prefillParts(model, state, ids, kept, PREFILL_CHUNK.interleaved);
    }
    const { value: part } = await this.parts.next();
    if (!part || this.isOver) return;
    const { tokens, logits } = part;
    const before = [this.logits, ...logits];
    const logProbs = promptLogProbs
      ? prompt.slice(read, read + tokens).map((id, i) => this.logProb(id, before[i]))
      : undefined;
    this.read = read + tokens;
    const last = logits.at(-1);
    this.logits = this.isRead ? undefined : last?.slice(); // not a view that keeps all of them
    for (const value of logProbs ?? []) this.logProbs.push(value);
    if (isStored(plan, this.read)) {
      const known = logProbs && { top, values: this.logProbs.slice() };
      await cache.store(prompt.slice(0, this.read), state, last, known);
    }
    this.onEvent({ type: 'prompt', tokens, logProbs });
    if (this.isRead) this.start(last);
  }

  /** Whether it has yet to store a prefix of another job's prompt. */
  willStoreFor({ prompt, promptLogProbs, logProbs = 0 }: Job): boolean {
    const { plan, state, read, job } = this;
    if (!plan || !state || this.isRead || this.isOver) return false;
    const known = job.promptLogProbs ? (job.logProbs ?? 0) : -1;
    if (promptLogProbs && known < logProbs) return false;
    let shared = 0;
    while (shared < prompt.length && prompt[shared] === job.prompt[shared]) shared++;
    return lastStored(plan, shared) > read;
  }

  /** Whether only the log-probabilities of the prompt are of interest. */
  get isScored(): boolean {
    const { promptLogProbs, maxTokens } = this.job;
    return promptLogProbs === true && maxTokens <= 1;
  }

  /** @param logits after the prompt */
  private start(logits: Float32Array | undefined): void {
    if (this.job.maxTokens === 0) this.end();
    else for (const sequence of this.sequences) sequence.advance(logits ?? -1);
  }

  /** Frees states that are no longer needed. */
  release(): void {
    const isNeeded = !this.isRead || this.sequences.some(({ isReady }) => isReady);
    if (this.isOver || !isNeeded) {
      this.state?.dispose();
      this.state = undefined;
    }
    for (const sequence of this.sequences) if (!sequence.isGoing) sequence.unpark();
  }

  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onEvent({ type: 'end' });
  }

  fail(error: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    const message = error instanceof Error ? error.message : String(error);
    this.onEvent({ type: 'error', message, isDown: false });
  }

  private logProb(id: number, logits: Float32Array | undefined): TokenLogProb | null {
    return logits ? this.sampler.logProb(logits, id, this.job.logProbs ?? 0) : null;
  }
}

export class JobSequence extends Sequence implements Schedulable {
  /** Its state while it waits for a slot again. */
  parked: RecurrentState | undefined;
  /** Whether it has been in the batch. */
  hasStarted = false;

  constructor(
    readonly running: RunningJob,
    readonly k: number,
    config: GenerationConfig,
    sampler: Sampler,
  ) {
    super(running.job.prompt, k, config, sampler);
  }

  get client(): string {
    return this.running.client;
  }

  get remaining(): number {
    return this.running.remaining - (this.ids.length - this.promptLength);
  }

  /** Whether it is unfinished. */
  get isGoing(): boolean {
    return !this.running.isOver && this.finishReason === undefined;
  }

  /** Whether it waits to start from its prompt's state. */
  get isReady(): boolean {
    return this.isGoing && this.running.isRead && !this.hasStarted;
  }

  /** Appends the next token and emits an event. */
  advance(next: NextToken): void {
    const { running, k } = this;
    if (running.isOver) return;
    try {
      const id = this.extend(next);
      const logProb = this.logProbs.pop(); // told once, kept by nobody
      running.onEvent({ type: 'token', k, id, logProb, finishReason: this.finishReason });
      if (running.sequences.every((other) => other.finishReason !== undefined)) running.end();
    } catch (error) {
      running.fail(error);
    }
  }

  /** Frees its state. */
  unpark(): void {
    this.parked?.dispose();
    this.parked = undefined;
  }
}
