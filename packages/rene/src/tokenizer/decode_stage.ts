// What a part of a decoder does.

/** A part of a decoder at work on one text. It passes on what no later token can change. */
export interface Stage {
  /** The texts that a token makes, in order. */
  push(token: string): string[];
  /** What was held back, when no token is left. */
  end(): string[];
}

/** Whether there is text around the tokens: a word after another one begins with a space. */
export interface Place {
  readonly hasTextBefore: boolean;
  readonly hasTextAfter: boolean;
}

export type StageMaker = (place: Place) => Stage;
