// The generation loop: prompts into states, then a token a row until all rows have ended.
import { InvalidArgumentError } from '@rene-js/layers';
import seedrandom from 'seedrandom';
import type { RecurrentState } from '../state.js';
import { TokenChooser, type TokenLogProb } from './choose.js';
import { type Decoder, extend, forwardDecoder } from './decoder.js';
import { type GenerationModel, prefillPrompts, selectRows } from './model_calls.js';
import type { Settings } from './options.js';
import { Progress } from './progress.js';
import { StopStringWatcher } from './stopping.js';

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
  const { maxLength, numReturnSequences, state, stopTogether, vocabSize } = settings;
  checkPrompts(prompts, vocabSize, state);
  const longest = Math.max(...prompts.map(({ length }) => length));
  if (longest >= maxLength && !stopTogether) {
    const expected = `more than the ${longest} tokens of the prompt, which it counts`;
    throw new InvalidArgumentError('maxLength', expected, String(maxLength));
  }
  return prompts.flatMap((prompt) =>
    Array.from({ length: numReturnSequences }, (_, k) => new Row(prompt, k, settings)),
  );
}

/** @throws InvalidArgumentError naming the prompt, or the state if it does not fit them */
export function checkPrompts(
  prompts: readonly (readonly number[])[],
  vocabSize: number,
  state?: RecurrentState,
): void {
  if (prompts.length === 0) throw new InvalidArgumentError('ids', 'at least one prompt', 'none');
  for (const [i, prompt] of prompts.entries()) {
    const name = prompts.length > 1 ? `ids[${i}]` : 'ids';
    if (prompt.length === 0) {
      throw new InvalidArgumentError(name, 'at least one token', 'an empty prompt');
    }
    const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (wrong !== undefined) {
      throw new InvalidArgumentError(name, `token ids below ${vocabSize}`, String(wrong));
    }
  }
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
  const { numReturnSequences: copies } = settings;
  const prompts = rows.filter((_, i) => i % copies === 0).map(({ sequence }) => sequence);
  const progress = new Progress(
    prompts.flat().length,
    () => rows.map(({ sequence }) => sequence),
    settings,
  );
  let decoder: Decoder | undefined;
  try {
    await progress.turn();
    const first = await prefillPrompts(model, prompts, settings.state, (n) => progress.prompt(n));
    const promptOf = rows.map((_, i) => Math.floor(i / copies));
    const state = copies > 1 ? selectRows(first.state, promptOf) : first.state;
    decoder = forwardDecoder(model, state, chooser, settings);
    let active = rows;
    for (const [i, row] of rows.entries()) {
      extend(row, first.logits[promptOf[i] ?? 0], chooser, settings);
    }
    for (;;) {
      progress.token();
      yield active;
      const going = active.filter((row) => !hasEnded(row, active, settings));
      if (settings.returnState) keepStates(active, going, decoder);
      if (going.length === 0) return;
      if (going.length < active.length) decoder.keep(going.map((row) => active.indexOf(row)));
      active = going;
      await progress.turn();
      decoder = decoder.compiled();
      await decoder.decode(active);
    }
  } finally {
    decoder?.dispose();
  }
}

function hasEnded(row: Row, active: readonly Row[], settings: Settings): boolean {
  const { stopTogether, eosTokenIds } = settings;
  if (!stopTogether) return row.finishReason !== undefined;
  if (row.isFull) return true;
  return active.every(({ sequence }) => eosTokenIds.has(sequence.at(-1) ?? -1));
}

/** Takes the states of the rows that have just ended out of the batch's. */
function keepStates(active: readonly Row[], going: readonly Row[], decoder: Decoder): void {
  active.forEach((row, i) => {
    if (!going.includes(row)) row.state = decoder.stateOf(i);
  });
}
