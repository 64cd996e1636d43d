// The tree of a regular expression.

/** The equivalent of Oniguruma's \w in \b. */
export type Assertion =
  | 'textStart'
  | 'textEnd'
  /** At the end, or before a final line feed. */
  | 'textEndOrLineFeed'
  | 'lineStart'
  | 'lineEnd'
  | 'wordBoundary'
  | 'noWordBoundary'
  /** At the start of the search. */
  | 'searchStart';

export type Regex =
  /** One code point of a set, in `v` mode. */
  | { readonly type: 'set'; readonly source: string }
  | { readonly type: 'sequence'; readonly parts: readonly Regex[] }
  | { readonly type: 'choice'; readonly parts: readonly Regex[] }
  | {
      readonly type: 'repeat';
      readonly part: Regex;
      readonly min: number;
      /** May be Infinity. */
      readonly max: number;
      readonly kind: 'greedy' | 'lazy' | 'possessive';
    }
  | { readonly type: 'atomic'; readonly part: Regex }
  | {
      readonly type: 'look';
      readonly behind: boolean;
      readonly negate: boolean;
      readonly part: Regex;
    }
  | { readonly type: 'assertion'; readonly kind: Assertion }
  | { readonly type: 'capture'; readonly number: number; readonly part: Regex }
  | { readonly type: 'backreference'; readonly numbers: readonly number[] }
  /** \K: the match begins here. */
  | { readonly type: 'keep' };
