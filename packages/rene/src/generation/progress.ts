// Reports progress, yields to the event loop and checks the signal between two steps.
import { nextTurn } from '@rene-js/layers/internal';
import { GenerationAbortedError } from './abort.js';

/** Progress of a generation. */
export interface GenerationProgress {
  /** Prompt tokens that were processed, over all prompts, and their total. */
  readonly promptTokens: number;
  readonly promptLength: number;
  /** New tokens so far; of the longest sequence. */
  readonly newTokens: number;
}

/** Options to follow and end a generation. */
export interface ProgressOptions {
  /** Ends the generation with a GenerationAbortedError, between tokens or chunks of a prompt. */
  signal?: AbortSignal | undefined;
  /** Called after each chunk of a prompt and each token. */
  onProgress?: ((progress: GenerationProgress) => void) | undefined;
}

/** Progress of one generation. */
export class Progress {
  private promptTokens = 0;
  private newTokens = 0;

  /** @param sequences the current ids of each sequence, for a GenerationAbortedError */
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
