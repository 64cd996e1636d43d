// Completions: jobs to the engine, choices back, whole or in parts as they come.
import { randomUUID } from 'node:crypto';
import type { Tokenizer } from '../tokenizer.js';
import { ApiError } from './api_error.js';
import { Choice } from './choice.js';
import type { CompletionBody } from './completion_request.js';
import type { Engine, Job, JobEvent } from './job.js';
import type { TokenTexts } from './token_texts.js';

export interface CompletionContext {
  engine: Engine;
  tokenizer: Pick<Tokenizer, 'decodeStream'>;
  tokenTexts: TokenTexts;
  /** As the server names its model. */
  modelName: string;
}

/** A completion being made. */
export class Completion {
  /** The choices of each job. */
  private readonly choices: Choice[][];
  private readonly head;
  private readonly cancels: (() => void)[] = [];
  /** Choices of the answer for each prompt; there may be more to choose from (best_of). */
  private readonly wanted: number;

  constructor(
    private readonly context: CompletionContext,
    private readonly body: CompletionBody,
    private readonly jobs: readonly Job[],
  ) {
    this.head = {
      id: `cmpl-${randomUUID()}`,
      object: 'text_completion',
      created: Math.floor(Date.now() / 1000),
      model: context.modelName,
    };
    this.wanted = body.n ?? 1;
    const { tokenizer, tokenTexts } = context;
    const withLogprobs = body.logprobs != null;
    this.choices = jobs.map(({ n, stop }) =>
      Array.from({ length: n }, () => new Choice(tokenizer, tokenTexts, stop, withLogprobs)),
    );
  }

  /**
   * Runs all jobs.
   *
   * @param onChange called after each change of a choice, with its index in the answer
   * @throws ApiError
   */
  async run(onChange: (choice: Choice, index: number) => void = () => {}): Promise<void> {
    const { wanted } = this;
    try {
      await Promise.all(
        this.jobs.map((job, i) => this.runJob(job, i, (c, k) => onChange(c, i * wanted + k))),
      );
    } catch (error) {
      this.cancel();
      throw error;
    }
  }

  /** Ends all jobs; their slots are free from the engine's next step, and run() throws. */
  cancel(): void {
    for (const cancel of this.cancels.splice(0)) cancel();
  }

  /** The answer, after run(). */
  response() {
    const answers = this.choices.flatMap((choices) => best(choices, this.wanted));
    const choices = answers.map((choice, index) => ({
      index,
      ...choice.take(),
      finish_reason: choice.finishReason,
    }));
    return { ...this.head, choices, usage: this.usage() };
  }

  /** A part of a streamed answer: what a choice has got since the last one; undefined for nothing. */
  chunk(choice: Choice, index: number) {
    const piece = choice.take();
    const isEmpty = piece.text === '' && !piece.logprobs?.tokens.length;
    if (isEmpty && choice.finishReason === null) return undefined;
    const { finishReason: finish_reason } = choice;
    return { ...this.head, choices: [{ index, ...piece, finish_reason }], ...this.noUsage() };
  }

  /** The last part of a streamed answer, for who asks for it. */
  usageChunk() {
    return { ...this.head, choices: [], usage: this.usage() };
  }

  /** Who asks for the usage finds it null in the other parts. */
  private noUsage() {
    return this.body.stream_options?.include_usage ? { usage: null } : {};
  }

  private usage() {
    const promptTokens = this.jobs.reduce((sum, { prompt }) => sum + prompt.length, 0);
    const newTokens = this.choices.flat().reduce((sum, choice) => sum + choice.newTokens, 0);
    return {
      prompt_tokens: promptTokens,
      completion_tokens: newTokens,
      total_tokens: promptTokens + newTokens,
    };
  }

  private runJob(
    job: Job,
    i: number,
    onChange: (choice: Choice, k: number) => void,
  ): Promise<void> {
    const choices = this.choices[i] ?? [];
    const echo = this.body.echo ?? false;
    let read = 0;
    return new Promise((resolve, reject) => {
      const onEvent = (event: JobEvent): void => {
        switch (event.type) {
          case 'prompt': {
            const ids = job.prompt.slice(read, read + event.tokens);
            read += event.tokens;
            if (!echo) return;
            choices.forEach((choice, k) => {
              choice.echo(ids, event.logProbs, read === job.prompt.length);
              onChange(choice, k);
            });
            return;
          }
          case 'token': {
            const choice = choices[event.k];
            if (!choice) return;
            choice.push(event.id, event.logProb, event.finishReason);
            onChange(choice, event.k);
            return;
          }
          case 'end':
            choices.forEach((choice, k) => {
              if (choice.finishReason !== null) return;
              choice.finishReason = 'length'; // no new tokens were wanted
              onChange(choice, k);
            });
            resolve();
            return;
          case 'error':
            reject(new ApiError(event.isDown ? 503 : 500, event.message, 'server_error'));
            return;
          default:
            event satisfies never;
        }
      };
      const cancel = this.context.engine.submit(job, onEvent);
      this.cancels.push(() => {
        cancel();
        reject(new ApiError(499, 'the client went away'));
      });
    });
  }
}

/** The likeliest by token, the likeliest first; all in their order where none is left out. */
function best(choices: readonly Choice[], wanted: number): readonly Choice[] {
  if (choices.length === wanted) return choices;
  const score = ({ logProb, newTokens }: Choice) => logProb / Math.max(1, newTokens);
  return choices.toSorted((a, b) => score(b) - score(a)).slice(0, wanted);
}
