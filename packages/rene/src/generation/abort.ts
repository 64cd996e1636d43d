// Generation ended by the user's AbortSignal.
import { ReneError } from '@rene-js/layers/errors';

/**
 * Generation was ended by its signal. Its name is 'AbortError', as everywhere with AbortSignal; `cause` is
 * the signal's reason.
 */
export class GenerationAbortedError extends ReneError {
  override readonly name = 'AbortError';
  /** Prompt and new tokens of each sequence so far. */
  readonly sequences: readonly (readonly number[])[];

  constructor(sequences: readonly (readonly number[])[], newTokens: number, reason: unknown) {
    super(`generation was aborted after ${newTokens} new tokens`, { cause: reason });
    this.sequences = sequences;
  }
}
