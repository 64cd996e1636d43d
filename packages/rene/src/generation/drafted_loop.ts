// Decoding with drafts: one pass verifies several drafted tokens of a sequence. The tokens are those of
// decoding without drafts, for greedy decoding and for sampling: each is sampled from the same logits, with the
// same random number, and a draft only decides how many of them one pass computes.
import { AssistantDrafter } from './assistant.js';
import type { Batch } from './batch.js';
import { DraftSchedule } from './draft_schedule.js';
import { type Drafter, PromptLookup } from './drafter.js';
import type { Progress } from './progress.js';
import type { GenerationConfig } from './resolve_options.js';
import type { Sequence } from './sequence.js';

/** Drafted tokens of an assistant at most, without promptLookupNumTokens. */
const ASSISTANT_TOKENS = 5;

/** A sequence with its drafts. */
interface Drafted {
  readonly sequence: Sequence;
  readonly drafter: Drafter;
  readonly schedule: DraftSchedule;
}

/**
 * Decodes the members of a batch until they have ended. Yields each sequence after each of its tokens.
 */
export async function* draftedLoop(
  batch: Batch<Sequence>,
  config: GenerationConfig,
  progress: Progress,
): AsyncGenerator<readonly Sequence[], void, void> {
  const { assistantModel, promptLookupNumTokens, vocabSize, returnState } = config;
  const most = promptLookupNumTokens || ASSISTANT_TOKENS;
  const all: Drafted[] = batch.members.map((sequence) => ({
    sequence,
    drafter: assistantModel ? new AssistantDrafter(assistantModel, vocabSize) : new PromptLookup(),
    schedule: new DraftSchedule(most),
  }));
  let active = all;
  const end = () => {
    for (const { sequence } of active) {
      if (returnState && sequence.finishReason) sequence.state = batch.stateOf(sequence);
    }
    active = active.filter(({ sequence }) => sequence.finishReason === undefined);
    batch.keep(({ finishReason }) => finishReason === undefined);
  };
  try {
    while (active.length > 0) {
      await progress.turn();
      let drafts = 0;
      for (const own of active) {
        const begin = performance.now();
        const draft = await propose(own);
        if (!draft) continue;
        drafts++;
        yield* verify(own, draft, batch, progress, begin);
      }
      const allHadDrafts = drafts === active.length;
      end();
      if (allHadDrafts || active.length === 0) continue;
      yield* decode(active, batch, progress);
      end();
    }
  } finally {
    for (const { drafter } of all) drafter.dispose();
  }
}

interface Draft {
  readonly kind: number;
  readonly tokens: readonly number[];
}

async function propose({ sequence, drafter, schedule }: Drafted): Promise<Draft | undefined> {
  const kind = drafter.kindOf(sequence.ids);
  if (kind === undefined) return undefined;
  // The token after the draft comes from the same pass.
  const length = Math.min(schedule.lengthFor(kind), sequence.room - 1);
  if (length < 1) return undefined;
  const tokens = await drafter.propose(sequence.ids, length);
  return tokens.length > 0 ? { kind, tokens } : undefined;
}

/** One pass over a draft. The sequence keeps the tokens that it would have sampled without. */
async function* verify(
  { sequence, schedule }: Drafted,
  { kind, tokens: draft }: Draft,
  batch: Batch<Sequence>,
  progress: Progress,
  begin: number,
): AsyncGenerator<readonly Sequence[], void, void> {
  const logits = await batch.verify(sequence, draft);
  let milliseconds = performance.now() - begin;
  let accepted = 0;
  let tokens = 0;
  for (const row of logits) {
    const sampling = performance.now();
    const token = sequence.extend(row);
    milliseconds += performance.now() - sampling;
    const isRight = tokens + 1 < logits.length && token === draft[tokens];
    tokens++;
    if (isRight) accepted++;
    progress.token();
    yield [sequence];
    if (!isRight || sequence.finishReason !== undefined) break;
  }
  const updating = performance.now();
  batch.accept(tokens);
  milliseconds += performance.now() - updating;
  schedule.verified(kind, logits.length - 1, accepted, milliseconds);
}

/** A token for each sequence, also for those that had a draft. */
async function* decode(
  active: readonly Drafted[],
  batch: Batch<Sequence>,
  progress: Progress,
): AsyncGenerator<readonly Sequence[], void, void> {
  const begin = performance.now();
  const { members } = batch;
  const next = await batch.next();
  members.forEach((sequence, i) => {
    sequence.extend(next[i] ?? -1);
  });
  const milliseconds = (performance.now() - begin) / members.length;
  for (const { schedule } of active) schedule.decoded(milliseconds);
  progress.token();
  yield members;
}
