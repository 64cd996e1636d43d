// The end of a generation by the user's AbortSignal.
import { ReneError } from '@rene-js/layers';

/**
 * A generation was ended by its signal. Its name is 'AbortError', as for everything that takes an
 * AbortSignal; `cause` is the signal's reason.
 */
export class GenerationAbortedError extends ReneError {
  override readonly name = 'AbortError';
  /** Each row's prompt and the new tokens that it had, so that no work is lost. */
  readonly sequences: readonly (readonly number[])[];

  constructor(sequences: readonly (readonly number[])[], newTokens: number, reason: unknown) {
    super(`generation was aborted after ${newTokens} new tokens`, { cause: reason });
    this.sequences = sequences;
  }
}
