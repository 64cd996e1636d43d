// Evaluates Rene: log-likelihoods from prefix trees and recurrent states.
import { weightPacker } from '@rene-js/layers';
import type { ModelConfig, Tokenizer } from '@rene-js/rene';
import { rowsThatFit } from '@rene-js/rene/internal';
import type { EvaluationModel, ScoreOptions } from '../evaluation_model.js';
import type { Loglikelihood } from '../metrics.js';
import { checkRequest, type TokenRequest, truncateRequest } from '../requests.js';
import { fedTokens, MIN_SHARED_TOKENS, prefixTree } from './prefix_tree.js';
import type { SharedStates } from './shared_states.js';
import { type ScoringModel, TreeScorer } from './tree_scorer.js';

/** Options: batches, truncation and prefix sharing. */
export interface ReneScorerOptions {
  /** Batch size; 'auto' is as much as memory allows, at most 64. Default: 'auto'. */
  batchSize?: number | 'auto' | undefined;
  /** Maximum number of tokens; longer texts are truncated on the left. Default: 4096. */
  maxLength?: number | undefined;
  /**
   * Minimum number of shared tokens to process once; Infinity processes every request separately. Default:
   * 6.
   */
  minShared?: number | undefined;
  /** States of earlier runs. Default: none. */
  shared?: SharedStates | undefined;
  /** Maximum number of logits in memory. Default: 32 M (128 MB). */
  maxLogits?: number | undefined;
}

/** A CausalLM and its tokenizer, for evaluate(). It owns neither. */
export class ReneScorer implements EvaluationModel {
  readonly maxLength: number;
  readonly prefixTokenId: number;
  /** Number of fed tokens so far. */
  tokensFed = 0;
  private readonly minShared: number;

  constructor(
    private readonly model: ScoringModel,
    private readonly tokenizer: Pick<Tokenizer, 'encode' | 'eosTokenId'>,
    private readonly options: ReneScorerOptions = {},
  ) {
    const { maxLength = 4096, minShared = MIN_SHARED_TOKENS } = options;
    this.maxLength = maxLength;
    this.minShared = minShared;
    this.prefixTokenId = prefixTokenId(model.config, tokenizer);
  }

  tokenize(text: string): number[] {
    return this.tokenizer.encode(text);
  }

  async loglikelihoods(
    requests: readonly TokenRequest[],
    { onResult, onProgress, signal }: ScoreOptions = {},
  ): Promise<Loglikelihood[]> {
    const results = requests.map((): Loglikelihood => ({ loglikelihood: 0, isGreedy: true }));
    const sequences = requests.map((request, index) => {
      checkRequest(request);
      return { index, ...truncateRequest(request, this.maxLength) };
    });
    const missing = sequences.map(({ scored }) => scored);
    const tree = prefixTree(sequences, this.minShared);
    const total = fedTokens(tree);
    let fed = 0;
    const scorer = new TreeScorer(this.model, {
      batchSize: this.rowsFor(sequences.reduce((most, { ids }) => Math.max(most, ids.length), 0)),
      maxLogits: this.options.maxLogits,
      signal,
      onTarget: (index, { logProb, isGreedy }) => {
        const result = results[index];
        if (!result) return;
        result.loglikelihood += logProb;
        result.isGreedy &&= isGreedy;
        missing[index] = (missing[index] ?? 0) - 1;
        if (missing[index] === 0) onResult?.(index, result);
      },
      shared: this.options.shared,
      onTokens: (count, isKnown) => {
        if (!isKnown) this.tokensFed += count;
        fed += count;
        onProgress?.(Math.min(fed / total, 1));
      },
    });
    await scorer.score(tree);
    return results;
  }

  /** @param tokens length of the longest text */
  private rowsFor(tokens: number): number {
    const { batchSize = 'auto' } = this.options;
    if (batchSize !== 'auto') return batchSize;
    const room = weightPacker().availableBytes?.() ?? Number.POSITIVE_INFINITY;
    return rowsThatFit(this.model.config, { bytes: room / STATES_AT_ONCE, tokens });
  }
}

/** Number of batches of states in memory: a node's, its parents', and copies while rows are gathered. */
const STATES_AT_ONCE = 6;

/** The token that replaces an empty context. */
export function prefixTokenId(
  { bosTokenId, eosTokenId }: ModelConfig,
  tokenizer: Pick<Tokenizer, 'eosTokenId'>,
): number {
  return bosTokenId ?? tokenizer.eosTokenId ?? eosTokenId ?? 0;
}
