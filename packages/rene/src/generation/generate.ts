// generate: whole sequences for one prompt or several.
import { RecurrentState } from '../state.js';
import { beamSearch, type Hypothesis } from './beam_search.js';
import type { TokenLogProb } from './choose.js';
import { type FinishReason, generationLoop, makeRows, type Row } from './loop.js';
import type { GenerationModel } from './model_calls.js';
import { type GenerateOptions, resolveOptions, type Settings } from './options.js';
import { Progress } from './progress.js';

/** What generate has made, an entry a sequence. */
export interface GenerateResult {
  /** Prompt and new tokens; the first prompt's numReturnSequences sequences, then the next one's. */
  sequences: number[][];
  /** Why each sequence ended. */
  finishReasons: FinishReason[];
  /** Prompt tokens of each sequence: the new ones are sequences[i].slice(promptLengths[i]). */
  promptLengths: number[];
  /** What sampling was seeded with; undefined for greedy generation. */
  seed: number | string | undefined;
  /** Of beam search: each sequence's log-probability / newTokens ** lengthPenalty. */
  scores: number[] | undefined;
  /** Of each new token of each sequence, where the option logProbs asks for them. */
  logProbs: TokenLogProb[][] | undefined;
  /**
   * Where the option returnState asks for it: has seen each sequence but for its last token, so
   * that tokens to go on with are [the last one, ...more]. The caller disposes it.
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
  options: GenerateOptions = {},
): Promise<GenerateResult> {
  const settings = resolveOptions(options, model.config);
  const prompts = toPrompts(ids);
  const rows = makeRows(prompts, settings);
  if (settings.numBeams > 1) return generateByBeams(model, prompts, settings, options.padTokenId);
  try {
    for await (const _ of generationLoop(model, rows, settings));
    return collect(rows, settings, options.padTokenId);
  } finally {
    for (const row of rows) row.state?.dispose();
  }
}

/** A prompt after the other, each with a row a beam. */
async function generateByBeams(
  model: GenerationModel,
  prompts: readonly number[][],
  settings: Settings,
  padTokenId: number | undefined,
): Promise<GenerateResult> {
  const found: Hypothesis[] = [];
  const promptLengths: number[] = [];
  // The likeliest beam of the prompt that is being continued, for an AbortError to carry.
  let current: number[] = [];
  const sequences = () => [...found.map(({ sequence }) => sequence), current];
  const progress = new Progress(prompts.flat().length, sequences, settings);
  await progress.turn();
  for (const [i, prompt] of prompts.entries()) {
    current = prompt;
    const onStep = (likeliest: number[]) => {
      current = likeliest;
    };
    const from = settings.state?.gather([settings.state.batch > 1 ? i : 0]);
    try {
      const best = await beamSearch(model, prompt, from, settings, progress, onStep);
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

/** The sequences, filled up to the longest where there is something to fill them with. */
function padded(sequences: number[][], padTokenId: number | undefined): number[][] {
  if (padTokenId === undefined) return sequences;
  const longest = Math.max(...sequences.map(({ length }) => length));
  return sequences.map((sequence) => [
    ...sequence,
    ...Array<number>(longest - sequence.length).fill(padTokenId),
  ]);
}

/** One prompt or several, as several. */
export function toPrompts(ids: readonly number[] | readonly (readonly number[])[]): number[][] {
  const prompts: number[][] = [];
  const single: number[] = [];
  for (const entry of ids) {
    if (typeof entry === 'number') single.push(entry);
    else prompts.push([...entry]);
  }
  return prompts.length > 0 && single.length === 0 ? prompts : [single];
}

/** What rows that have ended come to. */
export function collect(
  rows: readonly Row[],
  settings: Settings,
  padTokenId?: number,
): GenerateResult {
  const states = rows.flatMap(({ state }) => state ?? []);
  return {
    sequences: padded(
      rows.map(({ sequence }) => sequence),
      padTokenId,
    ),
    finishReasons: rows.map(({ finishReason }) => finishReason ?? 'length'),
    promptLengths: rows.map(({ promptLength }) => promptLength),
    scores: undefined,
    seed: settings.filters ? settings.seed : undefined,
    logProbs: settings.logProbs === undefined ? undefined : rows.map(({ logProbs }) => logProbs),
    state: states.length > 0 ? RecurrentState.concat(states) : undefined,
  };
}
