// A known state of a conversation.
import type { RecurrentState } from '../state.js';
import type { Tokenizer } from '../tokenizer.js';

export interface Checkpoint {
  /** The rendered text so far. */
  readonly text: string;
  /** The tokens that the state has seen. */
  readonly ids: readonly number[];
  /** Tokens of the text that the state has not seen. */
  readonly pending: readonly number[];
  readonly state: RecurrentState;
}

/** The checkpoint with the longest text with which this one begins. */
export function longestPrefix(
  checkpoints: readonly Checkpoint[],
  text: string,
): Checkpoint | undefined {
  const fitting = checkpoints.filter((each) => text.startsWith(each.text) && text !== each.text);
  return fitting.reduce<Checkpoint | undefined>(
    (best, each) => (best && best.text.length >= each.text.length ? best : each),
    undefined,
  );
}

/**
 * The tokens of a text that begins with a checkpoint's text. Tokens of an answer stay as the model sampled them, even
 * if the tokenizer would split the same text differently.
 */
export function idsAfter(
  from: Checkpoint | undefined,
  text: string,
  tokenizer: Pick<Tokenizer, 'encode'>,
): number[] {
  const encode = (part: string) => tokenizer.encode(part, { addSpecialTokens: false });
  const whole = encode(text);
  if (!from) return whole;
  const known = [...from.ids, ...from.pending];
  const before = encode(from.text);
  // In context, where some tokenizers would begin a text with a space.
  const inContext = before.every((id, i) => whole[i] === id);
  return [
    ...known,
    ...(inContext ? whole.slice(before.length) : encode(text.slice(from.text.length))),
  ];
}
