// Between two steps: tells the user how far it is, lets other work run, and looks at the signal.
import { GenerationAbortedError } from './abort.js';
import { nextTurn } from './event_loop.js';

/** How far a generation is. */
export interface GenerationProgress {
  /** Prompt tokens that the model has seen, of all prompts together, and how many there are. */
  readonly promptTokens: number;
  readonly promptLength: number;
  /** New tokens of each sequence so far; of the longest where some have ended. */
  readonly newTokens: number;
}

/** How to follow a generation, and how to end it. */
export interface ProgressOptions {
  /** Ends it with a GenerationAbortedError, between tokens or parts of a prompt. */
  signal?: AbortSignal | undefined;
  /** Called after each part of a prompt and each token. */
  onProgress?: ((progress: GenerationProgress) => void) | undefined;
}

/** Follows one generation. */
export class Progress {
  private promptTokens = 0;
  private newTokens = 0;

  /** @param sequences what there is of each, for an AbortError to carry */
  constructor(
    private readonly promptLength: number,
    private readonly sequences: () => number[][],
    private readonly options: ProgressOptions,
  ) {}

  async prompt(tokens: number): Promise<void> {
    this.promptTokens += tokens;
    this.tell();
    await this.turn();
  }

  token(): void {
    this.newTokens++;
    this.tell();
  }

  /** @throws GenerationAbortedError */
  async turn(): Promise<void> {
    await nextTurn();
    const { signal } = this.options;
    if (!signal?.aborted) return;
    throw new GenerationAbortedError(this.sequences(), this.newTokens, signal.reason);
  }

  private tell(): void {
    const { promptTokens, promptLength, newTokens } = this;
    this.options.onProgress?.({ promptTokens, promptLength, newTokens });
  }
}
