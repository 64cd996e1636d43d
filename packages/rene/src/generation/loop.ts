// The generation loop: prefill, then a token for each sequence until all have ended.
import { InvalidArgumentError } from '@rene-js/layers';
import { Batch } from './batch.js';
import type { GenerationModel } from './generation_model.js';
import { type PrefilledPrompt, prefillPrompts } from './prefill.js';
import { Progress } from './progress.js';
import { checkPrompts } from './prompt_ids.js';
import type { GenerationConfig } from './resolve_options.js';
import { Sampler } from './sampler.js';
import { Sequence } from './sequence.js';

/** The sequences of a generation, before prefill. @throws InvalidArgumentError */
export function makeSequences(
  prompts: readonly (readonly number[])[],
  config: GenerationConfig,
): Sequence[] {
  const { maxLength, numReturnSequences, state, stopTogether, vocabSize } = config;
  checkPrompts(prompts, vocabSize, state);
  const longest = Math.max(...prompts.map(({ length }) => length));
  if (longest >= maxLength && !stopTogether) {
    const expected = `more than the ${longest} tokens of the prompt, which count as well`;
    throw new InvalidArgumentError('maxLength', expected, String(maxLength));
  }
  const sampler = new Sampler(config);
  return prompts.flatMap((prompt) =>
    Array.from({ length: numReturnSequences }, (_, k) => new Sequence(prompt, k, config, sampler)),
  );
}

/**
 * Generates. Yields after each step the sequences that got a token. Leaving the loop early frees
 * everything.
 *
 * @param sequences from makeSequences; extended in place
 * @throws GenerationAbortedError, GenerationError
 */
export async function* generationLoop(
  model: GenerationModel,
  sequences: readonly Sequence[],
  config: GenerationConfig,
): AsyncGenerator<readonly Sequence[], void, void> {
  const { numReturnSequences: copies, returnState } = config;
  const prompts = sequences.filter((_, i) => i % copies === 0).map(({ ids }) => [...ids]);
  const progress = new Progress(
    prompts.flat().length,
    () => sequences.map(({ ids }) => ids),
    config,
  );
  const batch = new Batch<Sequence>(model, sequences.length, config.vocabSize);
  let prefilled: PrefilledPrompt[] = [];
  try {
    await progress.turn();
    prefilled = await prefillPrompts(model, prompts, config.state, (n) => progress.prompt(n));
    const promptOf = (i: number) => prefilled[Math.floor(i / copies)];
    for (const [i, sequence] of sequences.entries()) {
      sequence.extend(promptOf(i)?.logits ?? new Float32Array(0));
    }
    progress.token();
    yield sequences;
    for (const [i, sequence] of sequences.entries()) {
      const state = promptOf(i)?.state;
      if (!state) continue;
      if (hasEnded(sequence, sequences, config)) {
        if (returnState) sequence.state = state.clone();
      } else batch.join(state, [sequence]);
    }
    disposeAll(prefilled);
    prefilled = [];
    if (hasDrafts(config)) {
      const { draftedLoop } = await import('./drafted_loop.js');
      yield* draftedLoop(batch, config, progress);
      return;
    }
    while (batch.members.length > 0) {
      await progress.turn();
      const active = batch.members;
      // A step that runs ahead would advance the states that are wanted, or sample for no one.
      const ahead = !returnState && !active.some((sequence) => sequence.willBeFull);
      const next = await batch.next(ahead);
      active.forEach((sequence, i) => {
        sequence.extend(next[i] ?? -1);
      });
      progress.token();
      yield active;
      const ended = active.filter((sequence) => hasEnded(sequence, active, config));
      for (const sequence of returnState ? ended : []) sequence.state = batch.stateOf(sequence);
      batch.keep((sequence) => !ended.includes(sequence));
    }
  } finally {
    disposeAll(prefilled);
    batch.dispose();
  }
}

/** Whether the options ask for drafts. */
function hasDrafts({ promptLookupNumTokens, assistantModel }: GenerationConfig): boolean {
  return promptLookupNumTokens > 0 || assistantModel !== undefined;
}

function hasEnded(
  sequence: Sequence,
  active: readonly Sequence[],
  config: GenerationConfig,
): boolean {
  const { stopTogether, eosTokenIds } = config;
  if (!stopTogether) return sequence.finishReason !== undefined;
  if (sequence.isFull) return true;
  return active.every(({ ids }) => eosTokenIds.has(ids.at(-1) ?? -1));
}

function disposeAll(prefilled: readonly PrefilledPrompt[]): void {
  for (const { state } of prefilled) state.dispose();
}
