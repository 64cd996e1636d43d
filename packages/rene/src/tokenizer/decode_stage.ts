// Interface of a decoder's stages.

/** A decoder stage for one text. It emits text that no later token can change. */
export interface Stage {
  /** The texts that a token produces, in order. */
  push(token: string): string[];
  /** The text held back, after the last token. */
  end(): string[];
}

/** Whether other text precedes the tokens: a word then begins with a space. */
export interface Place {
  readonly hasTextBefore: boolean;
  readonly hasTextAfter: boolean;
}

export type StageMaker = (place: Place) => Stage;
