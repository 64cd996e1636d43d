// The server's engine: decodes prompts that arrive at any time as one batch.

import type { GenerationModel, Tokenizer } from '@rene-js/rene';
import {
  Batch,
  nextTurn,
  PREFILL_CHUNK,
  PrefixCache,
  SamplerBuffers,
} from '@rene-js/rene/internal';
import {
  type Engine,
  type EngineLoad,
  type Job,
  type JobEvent,
  jobGenerationConfig,
} from './job.js';
import { type JobSequence, RunningJob } from './running_job.js';
import { Schedule } from './schedule.js';

/** An engine in this thread. Sequences join and leave the batch between steps. */
export class BatchEngine implements Engine {
  /** In order of arrival. */
  private jobs: readonly RunningJob[] = [];
  private readonly batch: Batch<JobSequence>;
  private readonly schedule = new Schedule();
  private readonly buffers: SamplerBuffers;
  private readonly cache: PrefixCache;
  /** Settled when there is no more work. */
  private running: Promise<void> | undefined;

  /**
   * @param slots maximum number of sequences decoded together; as many states again are kept of
   *   prompts and sequences that wait
   * @param cache states of prompts and answers, so that what a prompt has in common with earlier ones is not
   *   read again; or how many bytes of host memory they take. Default: 0, none is kept.
   */
  constructor(
    private readonly model: GenerationModel,
    private readonly tokenizer: Pick<Tokenizer, 'decodeStream'>,
    private readonly slots: number,
    cache: PrefixCache | number = 0,
  ) {
    this.cache = typeof cache === 'number' ? new PrefixCache(cache) : cache;
    this.buffers = new SamplerBuffers(model.config.vocabSize);
    this.batch = new Batch(model, slots);
  }

  /** @throws InvalidArgumentError for an invalid job */
  submit(job: Job, onEvent: (event: JobEvent) => void): () => void {
    const config = jobGenerationConfig(job, this.model.config, this.tokenizer);
    const running = new RunningJob(job, config, this.buffers, onEvent);
    this.jobs = [...this.jobs, running];
    this.running ??= this.run();
    return () => {
      running.isOver = true;
    };
  }

  load(): EngineLoad {
    const active = this.batch.members.length;
    const waiting = Math.max(0, this.sequences().length - active);
    return { active, waiting, slots: this.slots, cacheBytes: this.cache.usedBytes };
  }

  /** Ends all jobs without an event and frees the engine's memory. The model stays loaded. */
  async close(): Promise<void> {
    for (const job of this.jobs) job.isOver = true;
    await this.running;
    this.batch.dispose();
    await this.cache.flush();
  }

  private async run(): Promise<void> {
    while (this.jobs.length > 0) {
      try {
        this.release();
        await this.readPrompts();
        this.fillSlots();
        await this.decode();
      } catch (error) {
        this.failRead(error);
      }
      await nextTurn();
    }
    this.running = undefined;
  }

  /** Unfinished jobs, in order of arrival. */
  private sequences(): readonly JobSequence[] {
    return this.jobs.flatMap(({ sequences }) => sequences.filter(({ isGoing }) => isGoing));
  }

  /** Reads parts of prompts whose sequences should have a slot, about a chunk in all. */
  private async readPrompts(): Promise<void> {
    const seats = this.schedule.seats(this.sequences(), this.slots);
    const seated = [...new Set(seats.map(({ running }) => running))];
    for (let budget = PREFILL_CHUNK.interleaved; budget > 0; ) {
      const hasRoom = this.heldStates() < this.slots;
      const isUnread = (job: RunningJob) => !job.isRead && !job.isOver;
      const wanted = seated.filter((job) => isUnread(job) && (hasRoom || job.state));
      // A started prompt without a slot still holds a state that others may wait for.
      const started = this.jobs.filter((job) => isUnread(job) && job.state);
      const next = this.schedule.nextPrompt(wanted.length > 0 ? wanted : started);
      if (!next) return;
      const job = this.readerFor(next);
      const before = job.read;
      await job.readPart(this.model, this.cache);
      budget -= Math.max(1, job.read - before);
      this.release();
    }
  }

  /**
   * The job that reads the beginning of this job's prompt: another one, if that has begun to read the same
   * tokens. This job continues from its state.
   */
  private readerFor(job: RunningJob): RunningJob {
    if (job.state || !this.cache.isOn) return job;
    return this.jobs.find((other) => other.willStoreFor(job.job)) ?? job;
  }

  /** Number of states of prompts and of sequences outside the batch. */
  private heldStates(): number {
    return this.jobs.reduce((sum, { state, sequences }) => {
      return sum + (state ? 1 : 0) + sequences.filter(({ parked }) => parked).length;
    }, 0);
  }

  /** Fills free slots, and takes slots from sequences that should wait. */
  private fillSlots(): void {
    const { batch, slots } = this;
    if (batch.isAhead) return;
    const active = new Set(batch.members);
    const all = this.sequences();
    const canRun = (sequence: JobSequence) =>
      active.has(sequence) || sequence.isReady || sequence.parked !== undefined;
    const seats = this.schedule.seats(all, slots).filter(canRun);
    const runnable = new Set([...seats, ...active, ...all.filter(canRun)]);
    const chosen = new Set([...runnable].slice(0, slots));
    const entering = all.filter((sequence) => chosen.has(sequence) && !active.has(sequence));
    const leaving = batch.members.filter((sequence) => !chosen.has(sequence));
    const free = slots - active.size;
    const room = Math.max(0, slots - this.heldStates());
    const swaps = Math.min(Math.max(0, entering.length - free), leaving.length, room);
    if (swaps > 0) this.park(leaving.slice(-swaps));
    for (const sequence of entering.slice(0, free + swaps)) this.join(sequence);
  }

  /** Removes sequences that continue later from the batch. */
  private park(leaving: readonly JobSequence[]): void {
    for (const sequence of leaving) sequence.parked = this.batch.stateOf(sequence);
    this.batch.keep((sequence) => !leaving.includes(sequence));
  }

  private join(sequence: JobSequence): void {
    const { running } = sequence;
    const state = sequence.parked ?? running.state;
    if (!state) return;
    this.batch.join(state, [sequence]);
    sequence.hasStarted = true;
    sequence.unpark();
    running.release();
  }

  /** Decodes one token for every sequence of the batch. */
  private async decode(): Promise<void> {
    const { members } = this.batch;
    if (members.length === 0) return;
    const all = this.sequences();
    // A waiting sequence can join only after a step that does not run ahead. After a last token no step is needed.
    const ahead = all.length === members.length && !members.some(({ willBeFull }) => willBeFull);
    const next = await this.batch.next(ahead);
    for (const [i, sequence] of members.entries()) sequence.advance(next[i] ?? -1);
    if (this.cache.isOn) {
      for (const sequence of members) if (sequence.finishReason) await this.storeAnswer(sequence);
    }
    this.schedule.step();
    this.release();
  }

  /** A conversation continues from the end of an answer. */
  private async storeAnswer(sequence: JobSequence): Promise<void> {
    const { job, isScored } = sequence.running;
    if (job.n > 1 || isScored) return;
    const state = this.batch.stateOf(sequence);
    try {
      const [length = 0] = state.positions;
      await this.cache.store(sequence.ids.slice(0, length), state);
    } finally {
      state.dispose();
    }
  }

  /** Frees the memory of ended jobs and sequences. */
  private release(): void {
    for (const job of this.jobs) job.release();
    if (this.jobs.some(({ isOver }) => isOver)) {
      this.jobs = this.jobs.filter(({ isOver }) => !isOver);
    }
    this.batch.keep(({ isGoing }) => isGoing);
  }

  /** The batch's state is lost: jobs in it or about to join fail, the others continue. */
  private failRead(error: unknown): void {
    this.batch.dispose();
    for (const job of this.jobs) if (job.isRead) job.fail(error);
    this.release();
  }
}
