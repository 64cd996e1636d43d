// The interface of models that can be evaluated: Rene, servers, other libraries.
import type { Loglikelihood } from './metrics.js';
import type { Encoder, TokenRequest } from './requests.js';

/** Options to follow and stop the scoring of requests. */
export interface ScoreOptions {
  /** Called once for each scored request, in any order. */
  onResult?: ((index: number, result: Loglikelihood) => void) | undefined;
  /** Called regularly with the share of work done, 0 to 1. */
  onProgress?: ((share: number) => void) | undefined;
  /** Stops early; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** A model and its tokenizer. */
export interface EvaluationModel extends Encoder {
  /** Maximum number of input tokens; longer texts are truncated on the left. */
  readonly maxLength: number;
  /**
   * Scores continuations; common prefixes may be computed once. Returns results in the order of the
   * requests.
   */
  loglikelihoods(
    requests: readonly TokenRequest[],
    options?: ScoreOptions,
  ): Promise<Loglikelihood[]>;
}
