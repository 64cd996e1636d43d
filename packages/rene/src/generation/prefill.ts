// prefill: the state after some tokens, to continue from as often as one likes.
import type { RecurrentState } from '../state.js';
import { toPrompts } from './generate.js';
import { checkPrompts } from './loop.js';
import { type GenerationModel, prefillPrompts } from './model_calls.js';
import { Progress, type ProgressOptions } from './progress.js';

/** What prefill can be told. */
export interface PrefillOptions extends ProgressOptions {
  /** The prompt goes on where this state is. It is left as it is. */
  state?: RecurrentState | undefined;
}

/**
 * Reads a prompt, or several of any lengths.
 *
 * @returns the state after it, a row a prompt; the caller disposes it. `generate(more, { state })`
 *   continues from it as often as one likes.
 * @throws InvalidArgumentError, GenerationAbortedError
 */
export async function prefill(
  model: GenerationModel,
  ids: readonly number[] | readonly (readonly number[])[],
  options: PrefillOptions = {},
): Promise<RecurrentState> {
  const prompts = toPrompts(ids);
  checkPrompts(prompts, model.config.vocabSize, options.state);
  const progress = new Progress(prompts.flat().length, () => prompts, options);
  await progress.turn();
  const part = (tokens: number) => progress.prompt(tokens);
  return (await prefillPrompts(model, prompts, options.state, part)).state;
}
