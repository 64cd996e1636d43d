// Decoding with drafts: one forward pass verifies several drafted tokens of a sequence. The tokens are those of
// decoding without drafts, for greedy decoding and for sampling: each is sampled from the same logits, with the
// same random number, and a draft only decides how many of them one pass computes.
import type { RecurrentState } from '../state.js';
import { AssistantDrafter } from './assistant.js';
import type { Batch } from './batch.js';
import { DraftSchedule } from './draft_schedule.js';
import { type Drafter, PromptLookup } from './drafter.js';
import { forwardLogits, type GenerationModel } from './generation_model.js';
import type { Progress } from './progress.js';
import type { GenerationConfig } from './resolve_options.js';
import type { Sequence } from './sequence.js';

/** Whether the options ask for drafts. */
export function hasDrafts({ promptLookupNumTokens, assistantModel }: GenerationConfig): boolean {
  return promptLookupNumTokens > 0 || assistantModel !== undefined;
}

/** Drafted tokens of an assistant at most, without promptLookupNumTokens. */
const ASSISTANT_TOKENS = 5;

/** A sequence with its drafts. While it has no state of its own, the batch decodes it. */
interface Drafted {
  readonly sequence: Sequence;
  readonly drafter: Drafter;
  readonly schedule: DraftSchedule;
  state: RecurrentState | undefined;
}

/**
 * Decodes sequences until they have ended. Yields each sequence after each of its tokens.
 *
 * @param started sequences with their states, after all but the last token; takes ownership of the states
 * @param batch without members; decodes the sequences that have no draft
 */
export async function* draftedLoop(
  model: GenerationModel,
  started: readonly { sequence: Sequence; state: RecurrentState }[],
  batch: Batch<Sequence>,
  config: GenerationConfig,
  progress: Progress,
): AsyncGenerator<readonly Sequence[], void, void> {
  const { assistantModel, promptLookupNumTokens, vocabSize, returnState } = config;
  const most = promptLookupNumTokens || ASSISTANT_TOKENS;
  const all: Drafted[] = started.map(({ sequence, state }) => ({
    sequence,
    state,
    drafter: assistantModel ? new AssistantDrafter(assistantModel, vocabSize) : new PromptLookup(),
    schedule: new DraftSchedule(most),
  }));
  let active = all;
  try {
    while (active.length > 0) {
      await progress.turn();
      const rest: Drafted[] = [];
      for (const own of active) {
        const begin = performance.now();
        const draft = await propose(own);
        if (draft.length === 0) rest.push(own);
        else yield* verify(model, own, draft, batch, progress, begin);
      }
      yield* decodeOthers(rest, batch, progress);
      for (const own of active) {
        if (own.sequence.finishReason === undefined) continue;
        if (returnState) own.sequence.state = own.state?.clone() ?? batch.stateOf(own.sequence);
        own.state?.dispose();
        own.state = undefined;
      }
      active = active.filter(({ sequence }) => sequence.finishReason === undefined);
      batch.keep(({ finishReason }) => finishReason === undefined);
    }
  } finally {
    for (const { drafter, state } of all) {
      drafter.dispose();
      state?.dispose();
    }
  }
}

function propose({ sequence, drafter, schedule }: Drafted) {
  // The token after the draft comes from the same pass.
  const length = Math.min(schedule.length, sequence.room - 1);
  return length > 0 ? drafter.propose(sequence.ids, length) : [];
}

/** One forward pass over a draft. The sequence keeps the tokens that it would have sampled without. */
async function* verify(
  model: GenerationModel,
  own: Drafted,
  proposed: readonly number[],
  batch: Batch<Sequence>,
  progress: Progress,
  begin: number,
): AsyncGenerator<readonly Sequence[], void, void> {
  const { sequence, schedule } = own;
  const state = own.state ?? batch.stateOf(sequence);
  own.state = state;
  batch.keep((member) => member !== sequence);
  const draft = proposed.slice(0, state.mark() - 1);
  const ids = [[sequence.ids.at(-1) ?? 0, ...draft]];
  const logits = await forwardLogits(model, ids, { state, logitsToKeep: draft.length + 1 });
  let milliseconds = performance.now() - begin;
  let accepted = 0;
  let tokens = 0;
  for (const row of logits) {
    const token = sequence.extend(row);
    const isRight = token === draft[tokens++];
    if (isRight) accepted++;
    progress.token();
    yield [sequence];
    if (!isRight || sequence.finishReason !== undefined) break;
  }
  const rewinding = performance.now();
  state.rewind(tokens);
  milliseconds += performance.now() - rewinding;
  schedule.verified(draft.length, accepted, milliseconds);
}

/** A token for each sequence that has no draft. */
async function* decodeOthers(
  others: readonly Drafted[],
  batch: Batch<Sequence>,
  progress: Progress,
): AsyncGenerator<readonly Sequence[], void, void> {
  if (others.length === 0) return;
  const begin = performance.now();
  for (const own of others) {
    if (!own.state) continue;
    batch.join(own.state, [own.sequence]);
    own.state.dispose();
    own.state = undefined;
  }
  const { members } = batch;
  const next = await batch.next();
  members.forEach((sequence, i) => {
    sequence.extend(next[i] ?? -1);
  });
  const milliseconds = (performance.now() - begin) / others.length;
  for (const { schedule } of others) schedule.decoded(milliseconds);
  progress.token();
  yield members;
}
