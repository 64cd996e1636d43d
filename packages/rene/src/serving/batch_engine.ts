// The engine of the server: prompts that come at any time, decoded together, a token a step for all.
import * as tf from '@tensorflow/tfjs-core';
import {
  ChoosingMemory,
  greedyChoice,
  noToken,
  TokenChooser,
  type TokenLogProb,
} from '../generation/choose.js';
import { nextTurn } from '../generation/event_loop.js';
import { Row } from '../generation/loop.js';
import { type GenerationModel, readLogits } from '../generation/model_calls.js';
import type { Settings } from '../generation/options.js';
import type { RecurrentState } from '../state.js';
import type { Tokenizer } from '../tokenizer.js';
import { type Batch, makeBatch } from './batch.js';
import { type Engine, type EngineLoad, type Job, type JobEvent, jobSettings } from './job.js';

/** A job that was submitted. */
interface Running {
  readonly job: Job;
  readonly onEvent: (event: JobEvent) => void;
  readonly settings: Settings;
  readonly chooser: TokenChooser;
  readonly rows: readonly Row[];
  /** Cancelled, or failed. */
  isOver: boolean;
}

/** One of its sequences. */
interface Sequence {
  readonly running: Running;
  readonly row: Row;
  readonly k: number;
}

/** A prompt that was read, and the sequences that are to go on from it. */
interface ReadPrompt {
  /** Of one row. */
  readonly state: RecurrentState;
  /** Of the token after the prompt. */
  readonly logits: Float32Array;
  readonly waiting: Sequence[];
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
  private active: readonly Sequence[] = [];
  /** A row for each of them; made when the first one comes. */
  private batch: Batch | undefined;
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
  }

  /** @throws InvalidArgumentError for a job that makes no sense */
  submit(job: Job, onEvent: (event: JobEvent) => void): () => void {
    const settings = jobSettings(job, this.model.config, this.tokenizer);
    const running: Running = {
      job,
      onEvent,
      settings,
      chooser: new TokenChooser(settings, this.memory),
      rows: Array.from({ length: job.n }, (_, k) => new Row(job.prompt, k, settings)),
      isOver: false,
    };
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
    return { active: this.active.length, waiting, slots: this.slots };
  }

  /** Ends all jobs without an event, and frees what the engine holds; the model is not its own. */
  async close(): Promise<void> {
    const sequences = [...this.active, ...(this.next?.waiting ?? [])];
    const jobs = [...this.queue, ...sequences.map(({ running }) => running)];
    if (this.reading) jobs.push(this.reading);
    for (const job of jobs) job.isOver = true;
    await this.running;
    this.batch?.dispose();
    this.batch = undefined;
  }

  private async run(): Promise<void> {
    while (this.queue.length > 0 || this.next || this.active.length > 0) {
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
    for (let budget = PREFILL_CHUNK; this.active.length < this.slots; ) {
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
    const { job, rows, onEvent } = running;
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
      return { state: own, logits, waiting: rows.map((row, k) => ({ running, row, k })) };
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
    for (let start = 0; start < prompt.length && !running.isOver; start += PREFILL_CHUNK) {
      const ids = prompt.slice(start, start + PREFILL_CHUNK);
      const logits = await this.forward(ids, state, promptLogProbs ? ids.length : 1);
      const logProbs = promptLogProbs
        ? ids.map((id, i) => promptLogProb(running, id, i === 0 ? last : logits[i - 1]))
        : undefined;
      last = logits.at(-1)?.slice(); // not a view that keeps all of them
      if (running.isOver) break;
      onEvent({ type: 'prompt', tokens: ids.length, logProbs });
      if (start + PREFILL_CHUNK < prompt.length) {
        await this.decode();
        await nextTurn();
      }
    }
    return last ?? new Float32Array(0);
  }

  /** @returns logits of the tokens after the last `kept` of one row's ids */
  private async forward(
    ids: readonly number[],
    state: RecurrentState,
    kept: number,
  ): Promise<Float32Array[]> {
    const logits = this.model.forward([ids], { state, logitsToKeep: kept });
    const rows = tf.reshape(logits, [kept, 1, -1]);
    logits.dispose();
    return readLogits(rows);
  }

  /** Takes as many of a prompt's sequences into the batch as it has room for. */
  private join(prompt: ReadPrompt): void {
    const going: Sequence[] = [];
    while (this.active.length + going.length < this.slots) {
      const sequence = prompt.waiting.shift();
      if (!sequence) break;
      if (extend(sequence, prompt.logits)) going.push(sequence);
    }
    if (going.length > 0) {
      this.batch ??= makeBatch(this.model, this.slots);
      this.batch.join(prompt.state, going.length);
      this.active = [...this.active, ...going];
    }
    if (prompt.waiting.length === 0) this.dropNext();
  }

  /** A token for every sequence of the batch. */
  private async decode(): Promise<void> {
    const { active, batch } = this;
    if (!batch || active.length === 0) return;
    try {
      const tokens = active.map(({ row }) => row.sequence.at(-1) ?? 0);
      // Of a cancelled sequence nobody asks.
      const choices = active.map(({ running, row }) =>
        !batch.chooses || running.isOver ? greedyChoice : running.chooser.choice(row),
      );
      const next = await batch.next(tokens, choices);
      active.forEach((sequence, i) => {
        if (!sequence.running.isOver) extend(sequence, next[i]);
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
    const isGoing = ({ running, row }: Sequence) =>
      !running.isOver && row.finishReason === undefined;
    const going = this.active.flatMap((sequence, i) => (isGoing(sequence) ? [i] : []));
    if (going.length === this.active.length) return;
    const kept = this.batch?.keep(going) ?? [];
    this.active = kept.flatMap((i) => this.active[i] ?? []);
  }

  private dropNext(): void {
    this.next?.state.dispose();
    this.next = undefined;
  }

  /** The batch's state is lost: its jobs fail, and those that wait go on. */
  private failAll(error: unknown): void {
    const sequences = [...this.active, ...(this.next?.waiting ?? [])];
    this.batch?.dispose();
    this.batch = undefined;
    this.active = [];
    this.dropNext();
    for (const { running } of sequences) fail(running, error);
  }
}

/**
 * Gives a sequence its next token.
 *
 * @param next that token, if it was chosen already (-1: there is none), or the logits to choose from
 * @returns whether it goes on
 */
function extend({ running, row, k }: Sequence, next: number | Float32Array = -1): boolean {
  const { chooser, settings, onEvent, rows } = running;
  try {
    const isChosen = typeof next === 'number';
    if (next === -1) throw noToken(Float32Array.of(Number.NaN), row.sequence.length);
    const id = isChosen ? next : chooser.choose(next, row);
    const { logProbs } = settings;
    const isWanted = !isChosen && logProbs !== undefined;
    const logProb = isWanted ? chooser.logProb(next, id, logProbs) : undefined;
    row.push(id);
    const { finishReason } = row;
    onEvent({ type: 'token', k, id, logProb, finishReason });
    if (finishReason === undefined) return true;
    if (rows.every((other) => other.finishReason !== undefined)) onEvent({ type: 'end' });
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
