// The server's engine: schedules prefill and decoding of the jobs it is given.
import { Batch, type NextToken } from '../generation/batch.js';
import { ChoosingMemory, TokenChooser, type TokenLogProb } from '../generation/choose.js';
import { nextTurn } from '../generation/event_loop.js';
import type { GenerationModel } from '../generation/generation_model.js';
import type { Settings } from '../generation/options.js';
import { prefillParts } from '../generation/prefill.js';
import { Sequence } from '../generation/sequence.js';
import type { RecurrentState } from '../state.js';
import type { Tokenizer } from '../tokenizer.js';
import { type Engine, type EngineLoad, type Job, type JobEvent, jobSettings } from './job.js';

/** A job that was submitted. */
interface Running {
  readonly job: Job;
  readonly onEvent: (event: JobEvent) => void;
  readonly chooser: TokenChooser;
  readonly sequences: JobSequence[];
  /** Cancelled, or failed. */
  isOver: boolean;
}

/** One of its sequences. */
class JobSequence extends Sequence {
  constructor(
    readonly running: Running,
    readonly k: number,
    settings: Settings,
  ) {
    super(running.job.prompt, k, settings, running.chooser);
  }
}

/** A prompt that was read, and the sequences that will continue it. */
interface ReadPrompt {
  /** Of one row. */
  readonly state: RecurrentState;
  /** Of the token after the prompt. */
  readonly logits: Float32Array;
  readonly waiting: JobSequence[];
}

/**
 * Prompt tokens read between two steps of the batch. The borders of a prompt's parts do not depend
 * on what else there is to do, so that its result does not either; they are among generate()'s.
 */
const PREFILL_CHUNK = 128;

/** An engine in this thread. Sequences join and leave the batch between its steps. */
export class BatchEngine implements Engine {
  private readonly queue: Running[] = [];
  /** The first of the queue, while its prompt is being read. */
  private reading: Running | undefined;
  /** The job whose sequences join the batch next. */
  private next: ReadPrompt | undefined;
  /** The sequences that are decoded together. */
  private readonly batch: Batch<JobSequence>;
  private readonly memory: ChoosingMemory;
  /** Settled when there is nothing more to do. */
  private running: Promise<void> | undefined;

  /** @param slots most sequences decoded together */
  constructor(
    private readonly model: GenerationModel,
    private readonly tokenizer: Pick<Tokenizer, 'decodeStream'>,
    private readonly slots: number,
  ) {
    this.memory = new ChoosingMemory(model.config.vocabSize);
    this.batch = new Batch(model, slots);
  }

  /** @throws InvalidArgumentError for a job that makes no sense */
  submit(job: Job, onEvent: (event: JobEvent) => void): () => void {
    const settings = jobSettings(job, this.model.config, this.tokenizer);
    const running: Running = {
      job,
      onEvent,
      chooser: new TokenChooser(settings, this.memory),
      sequences: [],
      isOver: false,
    };
    for (let k = 0; k < job.n; k++) running.sequences.push(new JobSequence(running, k, settings));
    this.queue.push(running);
    this.running ??= this.run();
    return () => {
      running.isOver = true;
    };
  }

  /** Sequences in the batch, those that wait, and places in all. */
  load(): EngineLoad {
    const queued = this.queue.reduce((sum, { job }) => sum + job.n, 0);
    const waiting = queued + (this.reading?.job.n ?? 0) + (this.next?.waiting.length ?? 0);
    return { active: this.batch.members.length, waiting, slots: this.slots };
  }

  /** Ends all jobs without an event, and frees what the engine holds; the model is not its own. */
  async close(): Promise<void> {
    const sequences = [...this.batch.members, ...(this.next?.waiting ?? [])];
    const jobs = [...this.queue, ...sequences.map(({ running }) => running)];
    if (this.reading) jobs.push(this.reading);
    for (const job of jobs) job.isOver = true;
    await this.running;
    this.batch.dispose();
  }

  private async run(): Promise<void> {
    while (this.queue.length > 0 || this.next || this.batch.members.length > 0) {
      try {
        this.letGo();
        await this.admit();
        await this.decode();
      } catch (error) {
        this.failAll(error);
      }
      await nextTurn();
    }
    this.running = undefined;
  }

  /** Fills free places: with sequences of the prompt that was read last, then from the queue. */
  private async admit(): Promise<void> {
    for (let budget = PREFILL_CHUNK; this.batch.members.length < this.slots; ) {
      if (this.next) {
        this.join(this.next);
        continue;
      }
      if (budget <= 0) return;
      const running = this.queue.shift();
      if (!running) return;
      if (running.isOver) continue;
      budget -= running.job.prompt.length;
      this.reading = running;
      this.next = await this.read(running);
      this.reading = undefined;
    }
  }

  /** Reads a prompt. @returns undefined when there is nothing to go on with */
  private async read(running: Running): Promise<ReadPrompt | undefined> {
    const { job, sequences, onEvent } = running;
    let state: RecurrentState | undefined;
    try {
      state = this.model.initialState(1);
      const logits = await this.prefill(running, state);
      if (running.isOver) return undefined;
      if (job.maxTokens === 0) {
        onEvent({ type: 'end' });
        return undefined;
      }
      const own = state;
      state = undefined; // it is the caller's now
      return { state: own, logits, waiting: [...sequences] };
    } catch (error) {
      fail(running, error);
      return undefined;
    } finally {
      state?.dispose();
    }
  }

  /** @returns logits of the token after the prompt; of none when the job is cancelled */
  private async prefill(running: Running, state: RecurrentState): Promise<Float32Array> {
    const { job, onEvent } = running;
    const { prompt, promptLogProbs = false } = job;
    let last: Float32Array | undefined;
    const kept = promptLogProbs ? 'all' : 'last';
    for await (const part of prefillParts(this.model, state, prompt, kept, PREFILL_CHUNK)) {
      const { start, tokens, logits } = part;
      const before = [last, ...logits];
      const logProbs = promptLogProbs
        ? prompt.slice(start, start + tokens).map((id, i) => promptLogProb(running, id, before[i]))
        : undefined;
      last = logits.at(-1)?.slice(); // not a view that keeps all of them
      if (running.isOver) break;
      onEvent({ type: 'prompt', tokens, logProbs });
      if (start + tokens === prompt.length) break;
      await this.decode();
      await nextTurn();
      if (running.isOver) break;
    }
    return last ?? new Float32Array(0);
  }

  /** Takes as many of a prompt's sequences into the batch as it has room for. */
  private join(prompt: ReadPrompt): void {
    const going: JobSequence[] = [];
    while (this.batch.members.length + going.length < this.slots) {
      const sequence = prompt.waiting.shift();
      if (!sequence) break;
      if (extend(sequence, prompt.logits)) going.push(sequence);
    }
    this.batch.join(prompt.state, going);
    if (prompt.waiting.length === 0) this.dropNext();
  }

  /** A token for every sequence of the batch. */
  private async decode(): Promise<void> {
    const { members } = this.batch;
    try {
      const next = await this.batch.next();
      members.forEach((sequence, i) => {
        if (!sequence.running.isOver) extend(sequence, next[i] ?? -1);
      });
      this.letGo();
    } catch (error) {
      this.failAll(error);
    }
  }

  /** Frees the places of sequences that have ended, and of jobs that are over. */
  private letGo(): void {
    for (let i = this.queue.length - 1; i >= 0; i--) {
      if (this.queue[i]?.isOver) this.queue.splice(i, 1);
    }
    if (this.next?.waiting[0]?.running.isOver) this.dropNext();
    this.batch.keep(({ running, finishReason }) => !running.isOver && finishReason === undefined);
  }

  private dropNext(): void {
    this.next?.state.dispose();
    this.next = undefined;
  }

  /** The batch's state is lost: its jobs fail, and those that wait go on. */
  private failAll(error: unknown): void {
    const sequences = [...this.batch.members, ...(this.next?.waiting ?? [])];
    this.batch.dispose();
    this.dropNext();
    for (const { running } of sequences) fail(running, error);
  }
}

/** Gives a sequence its next token and reports it. @returns whether the sequence continues */
function extend(sequence: JobSequence, next: NextToken): boolean {
  const { running, k } = sequence;
  const { onEvent, sequences } = running;
  try {
    const id = sequence.extend(next);
    const { finishReason } = sequence;
    onEvent({ type: 'token', k, id, logProb: sequence.logProbs.at(-1), finishReason });
    if (finishReason === undefined) return true;
    if (sequences.every((other) => other.finishReason !== undefined)) onEvent({ type: 'end' });
  } catch (error) {
    fail(running, error);
  }
  return false;
}

function promptLogProb(
  { chooser, job }: Running,
  id: number,
  logits: Float32Array | undefined,
): TokenLogProb | null {
  return logits ? chooser.logProb(logits, id, job.logProbs ?? 0) : null;
}

function fail(running: Running, error: unknown): void {
  if (running.isOver) return;
  running.isOver = true;
  const message = error instanceof Error ? error.message : String(error);
  running.onEvent({ type: 'error', message, isDown: false });
}
