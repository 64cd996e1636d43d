// The generation loop: prompts into states, then a token a row until all rows have ended.
import { InvalidArgumentError } from '@rene-js/layers';
import seedrandom from 'seedrandom';
import type { ReneLMHeadModel } from '../model.js';
import { RecurrentState } from '../state.js';
import { GenerationAbortedError } from './abort.js';
import { TokenChooser, type TokenLogProb } from './choose.js';
import { nextTurn } from './event_loop.js';
import type { Settings } from './options.js';
import { StopStringWatcher } from './stopping.js';

/** The part of a model that generation needs. */
export type GenerationModel = Pick<ReneLMHeadModel, 'config' | 'forward' | 'initialState'>;

/** Why a sequence ended: with the end of text, a stop string, or at its greatest length. */
export type FinishReason = 'eos' | 'stop' | 'length';

/** A sequence in the making. */
export class Row {
  readonly sequence: number[];
  readonly promptLength: number;
  readonly seen: Set<number>;
  readonly random: () => number;
  readonly logProbs: TokenLogProb[] = [];
  finishReason: FinishReason | undefined;
  /** After its last token but one, where states are asked for and the row has ended. */
  state: RecurrentState | undefined;
  private readonly watcher: StopStringWatcher | undefined;
  private readonly maxLength: number;

  /** @param k which of a prompt's sequences it is */
  constructor(
    prompt: readonly number[],
    k: number,
    readonly promptIndex: number,
    private readonly settings: Settings,
  ) {
    const { maxLength, maxNewTokens, stopStrings, tokenizer, seed } = settings;
    this.sequence = [...prompt];
    this.promptLength = prompt.length;
    this.seen = new Set(prompt);
    this.random = seedrandom(`${seed}:${k}`);
    this.maxLength = Math.min(maxLength, prompt.length + maxNewTokens);
    if (tokenizer && stopStrings.length > 0) {
      this.watcher = new StopStringWatcher(stopStrings, tokenizer);
    }
  }

  push(id: number): void {
    this.sequence.push(id);
    this.seen.add(id);
    if (this.settings.eosTokenIds.has(id)) this.finishReason = 'eos';
    else if (this.watcher?.push(id)) this.finishReason = 'stop';
    else if (this.isFull) this.finishReason = 'length';
  }

  get isFull(): boolean {
    return this.sequence.length >= this.maxLength;
  }
}

/** The rows that a generation of these prompts has. @throws InvalidArgumentError */
export function makeRows(prompts: readonly (readonly number[])[], settings: Settings): Row[] {
  checkPrompts(prompts, settings);
  return prompts.flatMap((prompt, i) =>
    Array.from({ length: settings.numReturnSequences }, (_, k) => new Row(prompt, k, i, settings)),
  );
}

function checkPrompts(prompts: readonly (readonly number[])[], settings: Settings): void {
  const { maxLength, state, stopTogether, vocabSize } = settings;
  if (prompts.length === 0) throw new InvalidArgumentError('ids', 'at least one prompt', 'none');
  prompts.forEach((prompt, i) => {
    const name = prompts.length > 1 ? `ids[${i}]` : 'ids';
    if (!Array.isArray(prompt) || prompt.length === 0) {
      throw new InvalidArgumentError(name, 'at least one token', 'an empty prompt');
    }
    const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (wrong !== undefined) {
      throw new InvalidArgumentError(name, `token ids below ${vocabSize}`, String(wrong));
    }
    if (prompt.length >= maxLength && !stopTogether) {
      const expected = `more than the ${prompt.length} tokens of the prompt, which it counts`;
      throw new InvalidArgumentError('maxLength', expected, String(maxLength));
    }
  });
  if (state && state.batch !== 1 && state.batch !== prompts.length) {
    const expected = `a state of ${prompts.length} rows, one a prompt, or of 1 for all`;
    throw new InvalidArgumentError('state', expected, `one of ${state.batch}`);
  }
}

/**
 * Generates, and yields after each step the rows that got a token in it. The rows are the caller's
 * to read at any time. Leaving the loop early frees all that it holds.
 *
 * @throws GenerationAbortedError, GenerationError
 */
export async function* generationLoop(
  model: GenerationModel,
  rows: readonly Row[],
  settings: Settings,
): AsyncGenerator<readonly Row[], void, void> {
  const chooser = new TokenChooser(settings);
  const progress = new Progress(rows, settings);
  let state: RecurrentState | undefined;
  try {
    const first = await prefillRows(model, rows, settings, progress);
    state = first.state;
    let logits = first.logits;
    let active = rows;
    for (;;) {
      active.forEach((row, i) => {
        extend(row, logits[i] ?? new Float32Array(0), chooser, settings);
      });
      progress.token();
      yield active;
      const going = active.filter((row) => !hasEnded(row, active, settings));
      if (settings.returnState) keepStates(active, going, state);
      if (going.length === 0) return;
      if (going.length < active.length) {
        state = replaceBy(state, (s) => s.gather(going.map((row) => active.indexOf(row))));
      }
      active = going;
      await progress.turn();
      logits = await nextLogits(model, state, active);
    }
  } finally {
    state?.dispose();
  }
}

function extend(
  row: Row,
  logits: Float32Array,
  chooser: TokenChooser,
  { logProbs }: Settings,
): void {
  const id = chooser.choose(logits, row);
  if (logProbs !== undefined) row.logProbs.push(chooser.logProb(logits, id, logProbs));
  row.push(id);
}

function hasEnded(row: Row, active: readonly Row[], settings: Settings): boolean {
  const { stopTogether, eosTokenIds } = settings;
  if (!stopTogether) return row.finishReason !== undefined;
  if (row.isFull) return true;
  return active.every(({ sequence }) => eosTokenIds.has(sequence.at(-1) ?? -1));
}

/** Takes the states of the rows that have just ended out of the batch's. */
function keepStates(active: readonly Row[], going: readonly Row[], state: RecurrentState): void {
  active.forEach((row, i) => {
    if (!going.includes(row)) row.state = state.gather([i]);
  });
}

async function nextLogits(
  model: GenerationModel,
  state: RecurrentState,
  rows: readonly Row[],
): Promise<Float32Array[]> {
  const ids = rows.map(({ sequence }) => [sequence.at(-1) ?? 0]);
  const logits = model.forward(ids, { state, logitsToKeep: 1 });
  try {
    return rowsOf(await logits.data(), rows.length);
  } finally {
    logits.dispose();
  }
}

function rowsOf(values: ArrayLike<number>, count: number): Float32Array[] {
  // float32 logits are a Float32Array on every backend; tfjs's type says number[] of any kind.
  const all = values instanceof Float32Array ? values : Float32Array.from(values);
  const size = all.length / count;
  return Array.from({ length: count }, (_, i) => all.subarray(i * size, (i + 1) * size));
}

/**
 * Prompts are read in parts that end at multiples of this position, so that a part's borders, and
 * with them the result, do not depend on how the prompt came.
 */
const PREFILL_CHUNK = 512;

/** Feeds a prompt to a state of one row. @returns logits of its next token */
export async function prefillPrompt(
  model: GenerationModel,
  state: RecurrentState,
  prompt: readonly number[],
  onPart: (tokens: number) => Promise<void>,
): Promise<Float32Array> {
  for (let done = 0; ; ) {
    const position = state.positions[0] ?? 0;
    const end = Math.min(prompt.length, done + PREFILL_CHUNK - (position % PREFILL_CHUNK));
    const logits = model.forward([prompt.slice(done, end)], { state, logitsToKeep: 1 });
    try {
      await onPart(end - done);
      if (end === prompt.length) return rowsOf(await logits.data(), 1)[0] ?? new Float32Array(0);
    } finally {
      logits.dispose();
    }
    done = end;
  }
}

/** Each prompt alone, so that it cannot depend on the others; then all in one state. */
async function prefillRows(
  model: GenerationModel,
  rows: readonly Row[],
  settings: Settings,
  progress: Progress,
): Promise<{ state: RecurrentState; logits: Float32Array[] }> {
  const { numReturnSequences: copies, state: from } = settings;
  const states: RecurrentState[] = [];
  const logits: Float32Array[] = [];
  try {
    await progress.turn();
    for (const row of rows) {
      if (rows.indexOf(row) % copies !== 0) continue;
      const source = from && from.batch > 1 ? row.promptIndex : 0;
      const state = from ? from.gather([source]) : model.initialState(1);
      states.push(state);
      const last = await prefillPrompt(model, state, row.sequence, (n) => progress.prompt(n));
      logits.push(...Array<Float32Array>(copies).fill(last));
    }
    const [only] = states;
    if (only && rows.length === 1) {
      states.pop();
      return { state: only, logits };
    }
    const joined = RecurrentState.concat(states);
    if (copies === 1) return { state: joined, logits };
    return { state: replaceBy(joined, (s) => s.gather(rows.map((r) => r.promptIndex))), logits };
  } finally {
    for (const state of states) state.dispose();
  }
}

function replaceBy(
  state: RecurrentState,
  change: (state: RecurrentState) => RecurrentState,
): RecurrentState {
  const changed = change(state);
  state.dispose();
  return changed;
}

/** Tells the user how far it is, lets other work run, and looks at the signal. */
class Progress {
  private promptTokens = 0;
  private newTokens = 0;
  private readonly promptLength: number;

  constructor(
    private readonly rows: readonly Row[],
    private readonly settings: Settings,
  ) {
    const total = rows.reduce((sum, { promptLength }) => sum + promptLength, 0);
    this.promptLength = total / settings.numReturnSequences;
  }

  async prompt(tokens: number): Promise<void> {
    this.promptTokens += tokens;
    this.tell();
    await this.turn();
  }

  token(): void {
    this.newTokens++;
    this.tell();
  }

  /** @throws GenerationAbortedError */
  async turn(): Promise<void> {
    const { signal } = this.settings;
    await nextTurn();
    if (!signal?.aborted) return;
    const sequences = this.rows.map(({ sequence }) => sequence);
    throw new GenerationAbortedError(sequences, this.newTokens, signal.reason);
  }

  private tell(): void {
    const { promptTokens, promptLength, newTokens } = this;
    this.settings.onProgress?.({ promptTokens, promptLength, newTokens });
  }
}
