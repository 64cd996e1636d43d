// A completion: passes jobs to the engine and returns choices, whole or in parts.
import { randomUUID } from 'node:crypto';
import type { Tokenizer } from '@rene-js/rene';
import type { AnswerFormat } from './answer_format.js';
import { ApiError } from './api_error.js';
import { Choice, type ChoicePiece } from './choice.js';
import { type CompletionJobs, choicesOf } from './completion_request.js';
import type { CompletionBody } from './completion_schema.js';
import { EchoedPrompt } from './echoed_prompt.js';
import type { Engine, Job, JobEvent } from './job.js';
import { jsonText } from './json_text.js';
import { COMMA, PieceBuffers } from './piece_buffers.js';
import type { TokenTexts } from './token_texts.js';
import { ToolCallParser } from './tool_calls.js';

export interface CompletionContext {
  engine: Engine;
  tokenizer: Pick<Tokenizer, 'decode' | 'decodeStream'>;
  tokenTexts: TokenTexts;
  /** Special tokens of tool calls; see callTokensOf. Default: none. */
  callTokens?: ReadonlyMap<number, string>;
  /** The served model's name. */
  modelName: string;
  format: AnswerFormat;
}

/** Receives a part of a streamed answer: JSON in one or several pieces. */
type OnPart = (...json: (string | Buffer)[]) => void;

/** A job and its results so far. */
interface Part {
  readonly job: Job;
  readonly choices: readonly Choice[];
  /** Choices whose first streamed part has been sent. */
  readonly begun: Set<number>;
  readonly echo: EchoedPrompt | undefined;
  /** For a whole answer: the echoed prompt and each choice's text. */
  readonly echoed: PieceBuffers;
  readonly pieces: readonly PieceBuffers[];
  /** Prompt tokens from the prefix cache. */
  cachedTokens: number;
}

/** Number of new tokens after which a whole answer's text is serialised. */
const FLUSH = 256;

/** A completion in progress. */
export class Completion {
  private readonly parts: readonly Part[];
  /** The beginning of the answer and of its parts, without the closing brace. */
  private readonly head: string;
  private readonly cancels: (() => void)[] = [];
  /** Choices per prompt; there may be more sequences to choose from (best_of). */
  private readonly wanted: number;

  constructor(
    private readonly context: CompletionContext,
    private readonly body: CompletionBody,
    { prompts, jobs }: CompletionJobs,
  ) {
    const { tokenizer, tokenTexts, format } = context;
    const head = {
      id: `${format.idPrefix}-${randomUUID()}`,
      object: body.stream ? format.partObject : format.object,
      created: Math.floor(Date.now() / 1000),
      model: context.modelName,
    };
    this.head = jsonText(head).slice(0, -1);
    this.wanted = choicesOf(body);
    const withLogprobs = body.logprobs != null;
    const skipSpecialTokens = body.skip_special_tokens ?? true;
    this.parts = jobs.map((job, i) => {
      const prompt = prompts[i] ?? { text: undefined, ids: job.prompt };
      const { stop, prompt: promptIds } = job;
      const newChoice = () => {
        const logprobs = withLogprobs ? format.logprobs(tokenTexts) : undefined;
        const options = { stop, logprobs, skipSpecialTokens, promptIds };
        if (!format.hasToolCalls) return new Choice(tokenizer, options);
        const callTokens = skipSpecialTokens ? context.callTokens : undefined;
        return new Choice(tokenizer, { ...options, tools: new ToolCallParser(), callTokens });
      };
      return {
        job,
        choices: Array.from({ length: job.n }, newChoice),
        begun: new Set(),
        echo: body.echo ? new EchoedPrompt(prompt, tokenizer, tokenTexts, withLogprobs) : undefined,
        echoed: new PieceBuffers(),
        pieces: Array.from({ length: job.n }, () => new PieceBuffers()),
        cachedTokens: 0,
      };
    });
  }

  /**
   * Runs all jobs.
   *
   * @param onPart called with each part of a streamed answer. Without it, answer() returns the whole answer
   * @throws ApiError
   */
  async run(onPart?: OnPart): Promise<void> {
    try {
      await Promise.all(this.parts.map((part, i) => this.runJob(part, i * this.wanted, onPart)));
    } catch (error) {
      this.cancel();
      throw error;
    }
  }

  /** Ends all jobs. Their slots are freed in the engine's next step, and run() throws. */
  cancel(): void {
    for (const cancel of this.cancels.splice(0)) cancel();
  }

  /** The JSON of the answer, after run(). */
  answer(): Buffer[] {
    const withLogprobs = this.body.logprobs != null;
    const choices = this.parts.flatMap(({ choices, echo, echoed, pieces }) =>
      best(choices, this.wanted).map((choice) => {
        const own = pieces[choices.indexOf(choice)] ?? new PieceBuffers();
        own.add(choice.take());
        const { finishReason } = choice;
        return { echo: echo && echoed, own, withLogprobs, finishReason };
      }),
    );
    const buffers = choices.flatMap((choice, index) => [
      ...(index > 0 ? [COMMA] : []),
      ...this.context.format.choice({ index, ...choice }),
    ]);
    return [
      Buffer.from(`${this.head},"choices":[`),
      ...buffers,
      Buffer.from(`],"usage":${JSON.stringify(this.usage())}}`),
    ];
  }

  /** The last part of a streamed answer, if the client requests usage. */
  usagePart(): string {
    return `${this.head},"choices":[],"usage":${JSON.stringify(this.usage())}}`;
  }

  /** The JSON around a piece of a streamed choice. Only the last part has the usage. */
  private around(index: number, finishReason: string | null): [before: string, after: string] {
    const usage = this.body.stream_options?.include_usage ? ',"usage":null' : '';
    const end = JSON.stringify(finishReason);
    return [`${this.head},"choices":[{"index":${index},`, `,"finish_reason":${end}}]${usage}}`];
  }

  private usage() {
    const promptTokens = this.parts.reduce((sum, { job }) => sum + job.prompt.length, 0);
    const newTokens = this.parts
      .flatMap(({ choices }) => choices)
      .reduce((sum, choice) => sum + choice.newTokens, 0);
    const cachedTokens = this.parts.reduce((sum, part) => sum + part.cachedTokens, 0);
    return {
      prompt_tokens: promptTokens,
      completion_tokens: newTokens,
      total_tokens: promptTokens + newTokens,
      prompt_tokens_details: { cached_tokens: cachedTokens },
    };
  }

  /** @param first the index of the job's first choice in the answer */
  private runJob(part: Part, first: number, onPart: OnPart | undefined): Promise<void> {
    const { job, choices, begun, echo, echoed, pieces } = part;
    const { format } = this.context;
    const onEcho = (piece: ChoicePiece) => {
      if (!onPart) echoed.add(piece);
      else if (!isEmpty(piece)) {
        const json = Buffer.from(format.piece(piece));
        for (const k of choices.keys()) {
          const [before, after] = this.around(first + k, null);
          onPart(before, json, after);
        }
      }
    };
    const onChoice = (choice: Choice, k: number) => {
      if (!onPart) {
        if (choice.newTokens % FLUSH === 0) pieces[k]?.add(choice.take());
        return;
      }
      if (format.opening !== undefined && !begun.has(k)) {
        begun.add(k);
        onPart(this.around(first + k, null).join(format.opening));
      }
      const piece = choice.take();
      if (isEmpty(piece) && choice.finishReason === null) return;
      const [before, after] = this.around(first + k, choice.finishReason);
      onPart(before + format.piece(piece) + after);
    };
    return new Promise((resolve, reject) => {
      const onEvent = (event: JobEvent): void => {
        switch (event.type) {
          case 'prompt': {
            if (event.cached) part.cachedTokens += event.tokens;
            if (echo) onEcho(echo.push(event.tokens, event.logProbs));
            return;
          }
          case 'token': {
            const choice = choices[event.k];
            if (!choice) return;
            choice.push(event.id, event.logProb, event.finishReason, echo?.length ?? 0);
            onChoice(choice, event.k);
            return;
          }
          case 'end':
            choices.forEach((choice, k) => {
              if (choice.finishReason !== null) return;
              choice.finishReason = 'length'; // no new tokens were wanted
              onChoice(choice, k);
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

function isEmpty({ text, logprobs, toolCalls = [] }: ChoicePiece): boolean {
  if (text !== '' || toolCalls.length > 0) return false;
  return Object.values(logprobs ?? {}).every((entries) => entries === '');
}

/** The most probable choices per token, best first; all in order if none is dropped. */
function best(choices: readonly Choice[], wanted: number): readonly Choice[] {
  if (choices.length === wanted) return choices;
  const score = ({ logProb, newTokens }: Choice) => logProb / Math.max(1, newTokens);
  return choices.toSorted((a, b) => score(b) - score(a)).slice(0, wanted);
}
