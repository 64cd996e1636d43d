// Prefill: reads prompts into states in chunks. generate, beam search and the server use it.
import { refuseUnknownOptions } from '../known_options.js';
import { RecurrentState } from '../state.js';
import { forwardLogits, type GenerationModel } from './generation_model.js';
import { checkCallbacks } from './option_values.js';
import { chunkFor, PREFILL_CHUNK } from './prefill_chunk.js';
import { Progress, type ProgressOptions } from './progress.js';
import { checkPrompts, toPrompts } from './prompt_ids.js';

export { PREFILL_CHUNK };

/** A chunk of a prompt after its forward pass. */
export interface PrefilledPart {
  /** Index of its first token in the prompt. */
  readonly start: number;
  readonly tokens: number;
  /** Logits after its last token, or after each of its tokens. */
  readonly logits: readonly Float32Array[];
}

/**
 * Reads a prompt into a state and yields after each chunk, so that the caller can do other work.
 *
 * @param state of one sequence; advanced
 * @param chunk chunks end at multiples of this many tokens
 * @param logits 'all': logits after every token of the prompt; 'last': after the last token of each chunk
 */
export async function* prefillParts(
  model: GenerationModel,
  state: RecurrentState,
  prompt: readonly number[],
  logits: 'all' | 'last' = 'last',
  chunk: number = chunkFor(model),
): AsyncGenerator<PrefilledPart, void, void> {
  for (let start = 0; start < prompt.length; ) {
    const position = state.positions[0] ?? 0;
    const tokens = Math.min(prompt.length - start, chunk - (position % chunk));
    const ids = prompt.slice(start, start + tokens);
    const logitsToKeep = logits === 'all' ? tokens : 1;
    const read = await forwardLogits(model, [ids], { state, logitsToKeep });
    yield { start, tokens, logits: read };
    start += tokens;
  }
}

/** A prompt after prefill. */
export interface PrefilledPrompt {
  /** Of one sequence. The caller owns it. */
  readonly state: RecurrentState;
  /** Logits of the next token. */
  readonly logits: Float32Array;
}

/**
 * Prefills each prompt separately, so that its result does not depend on the others.
 *
 * @param from states to continue: one per prompt, or one for all; not changed
 * @param onPart called after each chunk with its number of tokens; may throw
 */
export async function prefillPrompts(
  model: GenerationModel,
  prompts: readonly (readonly number[])[],
  from: RecurrentState | undefined,
  onPart: (tokens: number) => Promise<void>,
): Promise<PrefilledPrompt[]> {
  const states: RecurrentState[] = [];
  try {
    const prefilled: PrefilledPrompt[] = [];
    for (const [i, prompt] of prompts.entries()) {
      const state = from ? from.gather([from.batch > 1 ? i : 0]) : model.initialState(1);
      states.push(state);
      let last: Float32Array | undefined;
      for await (const { tokens, logits } of prefillParts(model, state, prompt)) {
        last = logits.at(-1);
        await onPart(tokens);
      }
      prefilled.push({ state, logits: last ?? new Float32Array(0) });
    }
    return prefilled;
  } catch (error) {
    for (const state of states) state.dispose();
    throw error;
  }
}

/** Options of prefill. */
export interface PrefillOptions extends ProgressOptions {
  /** State that the prompt continues. It is not changed. */
  state?: RecurrentState | undefined;
}

const KNOWN: Readonly<Record<keyof PrefillOptions, true>> = {
  state: true,
  signal: true,
  onProgress: true,
};

/**
 * Prefills one or several prompts of any lengths.
 *
 * @returns the state after them, one row per prompt. The caller disposes it. `generate(more, { state })`
 *   continues it, any number of times.
 * @throws InvalidArgumentError, GenerationAbortedError
 */
export async function prefill(
  model: GenerationModel,
  ids: readonly number[] | readonly (readonly number[])[],
  options: PrefillOptions = {},
): Promise<RecurrentState> {
  refuseUnknownOptions(options, KNOWN);
  checkCallbacks(options);
  const prompts = toPrompts(ids);
  checkPrompts(prompts, model.config.vocabSize, options.state);
  const progress = new Progress(prompts.flat().length, () => prompts, options);
  await progress.turn();
  const part = (tokens: number) => progress.prompt(tokens);
  const states = (await prefillPrompts(model, prompts, options.state, part)).map((p) => p.state);
  const [only] = states;
  if (only && states.length === 1) return only;
  try {
    return RecurrentState.concat(states);
  } finally {
    for (const state of states) state.dispose();
  }
}
