// generate: whole sequences for one prompt or several.
import { RecurrentState } from '../state.js';
import type { Hypothesis } from './beam_search.js';
import { withGenerationDefaults } from './generation_defaults.js';
import type { GenerationModel } from './generation_model.js';
import { generationLoop, makeSequences } from './loop.js';
import type { GenerateOptions } from './options.js';
import { Progress } from './progress.js';
import { toPrompts } from './prompt_ids.js';
import { type GenerationConfig, resolveOptions } from './resolve_options.js';
import type { TokenLogProb } from './sampler.js';
import type { FinishReason, Sequence } from './sequence.js';

/** The result of generate. */
export interface GenerateResult {
  /** Prompt and new tokens: the first prompt's numReturnSequences sequences, then the next prompt's. */
  sequences: number[][];
  /** Why each sequence ended. */
  finishReasons: FinishReason[];
  /** Prompt length of each sequence: the new tokens are sequences[i].slice(promptLengths[i]). */
  promptLengths: number[];
  /** The seed of the sampling; undefined for greedy decoding. */
  seed: number | string | undefined;
  /** Beam search only: log-probability / newTokens ** lengthPenalty of each sequence. */
  scores: number[] | undefined;
  /** With the option logProbs: for each new token of each sequence. */
  logProbs: TokenLogProb[][] | undefined;
  /**
   * With the option returnState: the state after all but the last token of each sequence. To continue, pass
   * [last token, ...more]. The caller disposes it.
   */
  state: RecurrentState | undefined;
}

/**
 * Generates until every sequence has ended. A prompt's result does not depend on the other prompts.
 *
 * @param ids a prompt, or several of any lengths
 * @throws InvalidArgumentError, GenerationError, GenerationAbortedError
 */
export async function generate(
  model: GenerationModel,
  ids: readonly number[] | readonly (readonly number[])[],
  given: GenerateOptions = {},
): Promise<GenerateResult> {
  const options = withGenerationDefaults(given, model.generationConfig);
  const config = resolveOptions(options, model.config);
  const prompts = toPrompts(ids);
  const sequences = makeSequences(prompts, config);
  if (config.numBeams > 1) return generateByBeams(model, prompts, config, options.padTokenId);
  try {
    for await (const _ of generationLoop(model, sequences, config));
    return collect(sequences, config, options.padTokenId);
  } finally {
    for (const { state } of sequences) state?.dispose();
  }
}

/** One prompt after the other, with a row per beam. */
async function generateByBeams(
  model: GenerationModel,
  prompts: readonly number[][],
  config: GenerationConfig,
  padTokenId: number | undefined,
): Promise<GenerateResult> {
  const found: Hypothesis[] = [];
  const promptLengths: number[] = [];
  // The most probable beam of the current prompt, for a GenerationAbortedError.
  let current: number[] = [];
  const sequences = () => [...found.map(({ sequence }) => sequence), current];
  const progress = new Progress(prompts.flat().length, sequences, config);
  await progress.turn();
  const { beamSearch } = await import('./beam_search.js');
  for (const [i, prompt] of prompts.entries()) {
    current = prompt;
    const onStep = (likeliest: number[]) => {
      current = likeliest;
    };
    const from = config.state?.gather([config.state.batch > 1 ? i : 0]);
    try {
      const best = await beamSearch(model, prompt, from, config, progress, onStep);
      found.push(...best);
      promptLengths.push(...best.map(() => prompt.length));
    } finally {
      from?.dispose();
    }
  }
  return {
    sequences: padded(
      found.map(({ sequence }) => sequence),
      padTokenId,
    ),
    finishReasons: found.map(({ finishReason }) => finishReason),
    promptLengths,
    scores: found.map(({ score }) => score),
    seed: undefined,
    logProbs: undefined,
    state: undefined,
  };
}

/** The sequences, padded to the longest if there is a padding token. */
function padded(sequences: number[][], padTokenId: number | undefined): number[][] {
  if (padTokenId === undefined) return sequences;
  const longest = Math.max(...sequences.map(({ length }) => length));
  return sequences.map((sequence) => [
    ...sequence,
    ...Array<number>(longest - sequence.length).fill(padTokenId),
  ]);
}

/** The result from finished sequences. */
export function collect(
  sequences: readonly Sequence[],
  config: GenerationConfig,
  padTokenId?: number,
): GenerateResult {
  const states = sequences.flatMap(({ state }) => state ?? []);
  return {
    sequences: padded(
      sequences.map(({ ids }) => ids),
      padTokenId,
    ),
    finishReasons: sequences.map(({ finishReason }) => finishReason ?? 'length'),
    promptLengths: sequences.map(({ promptLength }) => promptLength),
    scores: undefined,
    seed: config.filters ? config.seed : undefined,
    logProbs: config.logProbs === undefined ? undefined : sequences.map(({ logProbs }) => logProbs),
    state: states.length > 0 ? RecurrentState.concat(states) : undefined,
  };
}
