// Beam search as in transformers: keeps the most probable continuations of all beams.
import type { RecurrentState } from '../state.js';
import { Batch } from './batch.js';
import type { GenerationModel } from './generation_model.js';
import { type PrefilledPrompt, prefillPrompts } from './prefill.js';
import type { Progress } from './progress.js';
import type { GenerationConfig } from './resolve_options.js';
import { logSumExp, noTokenError, Sampler } from './sampler.js';
import { TokenDistribution } from './token_distribution.js';

/** A finished sequence. */
export interface Hypothesis {
  readonly sequence: number[];
  /** Its log-probability / newTokens ** lengthPenalty. */
  readonly score: number;
  readonly finishReason: 'eos' | 'length';
}

/** A beam. */
interface Beam {
  /** Prompt and new tokens. */
  readonly ids: readonly number[];
  /** Its log-probability. */
  readonly logProb: number;
}

/** A beam extended by one token. */
interface Candidate {
  readonly beam: number;
  readonly id: number;
  readonly logProb: number;
}

/**
 * The best sequences of one prompt, best first: config.numReturnSequences, or fewer if the options leave no
 * more.
 *
 * @param from the state to continue, of one sequence; not changed
 * @param onStep called with the most probable beam after each token
 * @throws GenerationAbortedError, GenerationError
 */
export async function beamSearch(
  model: GenerationModel,
  prompt: readonly number[],
  from: RecurrentState | undefined,
  config: GenerationConfig,
  progress: Progress,
  onStep: (likeliest: number[]) => void = () => {},
): Promise<Hypothesis[]> {
  const { maxLength, maxNewTokens, numReturnSequences } = config;
  const longest = Math.min(maxLength, prompt.length + maxNewTokens);
  const hypotheses = new Hypotheses(prompt.length, longest, config);
  const expand = expander(prompt.length, config);
  let beams: readonly Beam[] = [{ ids: prompt, logProb: 0 }];
  const batch = new Batch<Beam>(model, config.numBeams, config.vocabSize);
  let prefilled: PrefilledPrompt | undefined;
  try {
    [prefilled] = await prefillPrompts(model, [prompt], from, (n) => progress.prompt(n));
    let logits: readonly Float32Array[] = prefilled ? [prefilled.logits] : [];
    for (;;) {
      const candidates = expand(beams, logits);
      const best = candidates[0]?.logProb ?? Number.NaN;
      if (Number.isNaN(best)) throw noTokenError(logits[0] ?? new Float32Array(0), prompt.length);
      const length = (beams[0]?.ids.length ?? 0) + 1;
      const going = hypotheses.sort(beams, candidates);
      const parents = going.flatMap(({ beam }) => beams[beam] ?? []);
      beams = going.map(({ beam, id, logProb }) => ({
        ids: [...(beams[beam]?.ids ?? []), id],
        logProb,
      }));
      onStep([...(beams[0]?.ids ?? [])]);
      progress.token();
      if (hypotheses.isDone(best, length)) break;
      if (length >= longest || beams.length === 0) {
        for (const { ids, logProb } of beams) hypotheses.add([...ids], logProb, 'length');
        break;
      }
      await progress.turn();
      if (prefilled) {
        batch.join(prefilled.state, beams);
        prefilled.state.dispose();
        prefilled = undefined;
      } else {
        batch.branch(parents, beams);
      }
      const rows = await batch.logits();
      logits = beams.map((beam) => rows[batch.members.indexOf(beam)] ?? new Float32Array(0));
    }
    return hypotheses.best(numReturnSequences);
  } finally {
    prefilled?.state.dispose();
    batch.dispose();
  }
}

/** Makes a function that finds the most probable continuations of beams, sorted by probability. */
function expander(promptLength: number, config: GenerationConfig) {
  const { vocabSize, numBeams, eosTokenIds } = config;
  const sampler = new Sampler(config);
  const scores = new Float64Array(vocabSize);
  const distribution = new TokenDistribution(vocabSize);
  // Enough candidates that numBeams of them are not end-of-text tokens, if there are so many.
  const kept = Math.max(2, 1 + eosTokenIds.size) * numBeams;
  return (beams: readonly Beam[], logits: readonly Float32Array[]): Candidate[] => {
    const all = beams.flatMap(({ ids, logProb }, beam): Candidate[] => {
      const own = logits[beam]?.subarray(0, vocabSize) ?? new Float32Array(0);
      const logSum = logSumExp(own);
      for (let id = 0; id < vocabSize; id++) scores[id] = (own[id] ?? 0) - logSum;
      sampler.process(scores, { ids, promptLength, seen: new Set(ids) });
      distribution.setLogits(scores).keepTopK(kept);
      return Array.from({ length: distribution.size }, (_, i) => ({
        beam,
        id: distribution.ids[i] ?? 0,
        logProb: logProb + (distribution.values[i] ?? 0),
      }));
    });
    const byLogProb = (a: Candidate, b: Candidate) =>
      b.logProb - a.logProb || a.beam - b.beam || a.id - b.id;
    return all.sort(byLogProb).slice(0, kept);
  };
}

/** The best finished sequences so far. */
class Hypotheses {
  private readonly ended: Hypothesis[] = [];

  constructor(
    private readonly promptLength: number,
    private readonly longest: number,
    private readonly config: GenerationConfig,
  ) {}

  /** Keeps the candidates that end, and returns the numBeams most probable ones that continue. */
  sort(beams: readonly Beam[], candidates: readonly Candidate[]): Candidate[] {
    const { numBeams, eosTokenIds } = this.config;
    const going: Candidate[] = [];
    for (const [rank, candidate] of candidates.entries()) {
      if (going.length === numBeams) break;
      const { beam, id, logProb } = candidate;
      if (!eosTokenIds.has(id)) going.push(candidate);
      else if (rank < numBeams) {
        this.add([...(beams[beam]?.ids ?? []), id], logProb, 'eos');
      }
    }
    return going;
  }

  /** Adds a sequence if it is among the numBeams best. */
  add(sequence: number[], logProb: number, finishReason: 'eos' | 'length'): void {
    const { numBeams } = this.config;
    this.ended.push({ sequence, score: this.score(logProb, sequence.length), finishReason });
    // Of equal scores the first one stays.
    this.ended.sort((a, b) => b.score - a.score);
    this.ended.length = Math.min(this.ended.length, numBeams);
  }

  /**
   * Whether the search is finished.
   *
   * @param best log-probability of the most probable continuation, which has `length` tokens
   */
  isDone(best: number, length: number): boolean {
    const { numBeams, earlyStopping, lengthPenalty } = this.config;
    if (this.ended.length < numBeams) return false;
    if (earlyStopping === true) return true;
    const atItsEnd = earlyStopping === 'never' && lengthPenalty > 0;
    const attainable = this.score(best, atItsEnd ? this.longest : length);
    return (this.ended.at(-1)?.score ?? 0) >= attainable;
  }

  best(count: number): Hypothesis[] {
    return this.ended.slice(0, count);
  }

  private score(logProb: number, length: number): number {
    return logProb / (length - this.promptLength) ** this.config.lengthPenalty;
  }
}
