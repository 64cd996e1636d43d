// What generation asks of a model: prompts into states, and the logits of the next tokens.
import type * as tf from '@tensorflow/tfjs-core';
import type { ReneLMHeadModel } from '../model.js';
import { RecurrentState } from '../state.js';

/** The part of a model that generation needs. */
export type GenerationModel = Pick<ReneLMHeadModel, 'config' | 'forward' | 'initialState'> &
  Partial<Pick<ReneLMHeadModel, 'compileStep'>>;

/** The rows of logits (rows, 1, paddedVocabSize), which are freed. */
export async function readLogits(logits: tf.Tensor): Promise<Float32Array[]> {
  try {
    const [rows = 0] = logits.shape;
    const values = await logits.data<'float32'>();
    const size = values.length / rows;
    return Array.from({ length: rows }, (_, i) => values.subarray(i * size, (i + 1) * size));
  } finally {
    logits.dispose();
  }
}

/** Feeds each row its next token. @returns the rows' logits of the token after it */
export function step(
  model: GenerationModel,
  state: RecurrentState,
  tokens: readonly number[],
): Promise<Float32Array[]> {
  const ids = tokens.map((id) => [id]);
  return readLogits(model.forward(ids, { state, logitsToKeep: 1 }));
}

/**
 * Prompts are read in parts that end at multiples of this position, so that a part's borders, and
 * with them the result, do not depend on how the prompt came.
 */
const PREFILL_CHUNK = 512;

/** Feeds a prompt to a state of one row. @returns logits of its next token */
async function prefillPrompt(
  model: GenerationModel,
  state: RecurrentState,
  prompt: readonly number[],
  onPart: (tokens: number) => Promise<void>,
): Promise<Float32Array> {
  for (let done = 0; ; ) {
    const position = state.positions[0] ?? 0;
    const end = Math.min(prompt.length, done + PREFILL_CHUNK - (position % PREFILL_CHUNK));
    const ids = [prompt.slice(done, end)];
    const [logits] = await readLogits(model.forward(ids, { state, logitsToKeep: 1 }));
    await onPart(end - done);
    if (end === prompt.length) return logits ?? new Float32Array(0);
    done = end;
  }
}

/**
 * Reads each prompt alone, so that its result cannot depend on the others.
 *
 * @param from where the prompts go on: a row a prompt, or one for all; left as it is
 * @param onPart called after each part of a prompt with its tokens; may throw to end it
 * @returns a state of a row a prompt, which is the caller's, and logits of the tokens that follow
 */
export async function prefillPrompts(
  model: GenerationModel,
  prompts: readonly (readonly number[])[],
  from: RecurrentState | undefined,
  onPart: (tokens: number) => Promise<void>,
): Promise<{ state: RecurrentState; logits: Float32Array[] }> {
  const states: RecurrentState[] = [];
  try {
    const logits: Float32Array[] = [];
    for (const [i, prompt] of prompts.entries()) {
      const state = from ? from.gather([from.batch > 1 ? i : 0]) : model.initialState(1);
      states.push(state);
      logits.push(await prefillPrompt(model, state, prompt, onPart));
    }
    const [only] = states;
    if (only && states.length === 1) {
      states.pop();
      return { state: only, logits };
    }
    return { state: RecurrentState.concat(states), logits };
  } finally {
    for (const state of states) state.dispose();
  }
}

/** A state of these rows of another, which is freed. */
export function selectRows(state: RecurrentState, rows: readonly number[]): RecurrentState {
  const selected = state.gather(rows);
  state.dispose();
  return selected;
}
