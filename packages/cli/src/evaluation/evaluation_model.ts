// The interface of models that can be evaluated: Rene's own, servers, other libraries.
import type { Loglikelihood } from './metrics.js';
import type { Encoder, TokenRequest } from './requests.js';

/** How to follow the scoring of requests, and how to end it. */
export interface ScoreOptions {
  /** Called once for each request as soon as it is known, in any order. */
  onResult?: ((index: number, result: Loglikelihood) => void) | undefined;
  /** Called now and then with the share that is done, 0 to 1. */
  onProgress?: ((share: number) => void) | undefined;
  /** Stops early; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** A model and its tokenizer. */
export interface EvaluationModel extends Encoder {
  /** Most tokens that the model is fed of a text; longer ones lose their beginning. */
  readonly maxLength: number;
  /** Scores continuations; what they share may be computed once. Results in the requests' order. */
  loglikelihoods(
    requests: readonly TokenRequest[],
    options?: ScoreOptions,
  ): Promise<Loglikelihood[]>;
}
