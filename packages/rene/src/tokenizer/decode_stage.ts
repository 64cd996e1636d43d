// What a part of a decoder does.

/** A part of a decoder at work on one text. It passes on what no later token can change. */
export interface Stage {
  /** The texts that a token makes, in order. */
  push(token: string): string[];
  /** What was held back, when no token is left. */
  end(): string[];
}

/**
 * Begins a text.
 *
 * @param isInside the tokens are from the middle of a text, not its start
 */
export type StageMaker = (isInside: boolean) => Stage;
