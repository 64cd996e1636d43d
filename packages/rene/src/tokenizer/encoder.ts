// Text to ids: added tokens, normaliser, pre-tokenizer, model, post-processor.
import { type AddedToken, AddedTokenFinder } from './added_tokens.js';
import type { Model } from './model.js';
import type { Normalizer } from './normalizers.js';
import type { PostProcessor } from './post_processor.js';
import type { Piece, PreTokenizer } from './pre_tokenizers.js';

/** The components of a tokenizer.json that encode. */
export interface EncoderParts {
  readonly addedTokens: readonly AddedToken[];
  readonly normalize: Normalizer | undefined;
  readonly preTokenize: PreTokenizer | undefined;
  readonly model: Model;
  readonly postProcess: PostProcessor | undefined;
}

export class Encoder {
  private readonly asWritten: AddedTokenFinder;
  private readonly asNormalized: AddedTokenFinder;

  constructor(private readonly parts: EncoderParts) {
    const { addedTokens, normalize = (text) => text } = parts;
    const entries = (tokens: readonly AddedToken[], text: (token: AddedToken) => string) =>
      new AddedTokenFinder(tokens.map((token) => [text(token), token]));
    this.asWritten = entries(
      addedTokens.filter(({ normalized }) => !normalized),
      ({ content }) => content,
    );
    this.asNormalized = entries(
      addedTokens.filter(({ normalized }) => normalized),
      ({ content }) => normalize(content),
    );
  }

  /**
   * Encodes a text. Yields after every few thousand characters, so that other work can run.
   *
   * @throws TokenizerError
   */
  *encode(text: string, addSpecialTokens: boolean): Generator<void, number[], void> {
    const { normalize, postProcess } = this.parts;
    const ids: number[] = [];
    for (const { token, start, end } of this.asWritten.sections(text)) {
      if (token) {
        ids.push(token.id);
        continue;
      }
      const section = text.slice(start, end);
      const normalized = normalize ? normalize(section) : section;
      if (section.length >= PAUSE) yield;
      yield* this.encodeNormalized(normalized, start === 0, ids);
    }
    return addSpecialTokens && postProcess ? postProcess(ids) : ids;
  }

  private *encodeNormalized(
    text: string,
    isFirst: boolean,
    ids: number[],
  ): Generator<void, void, void> {
    const { preTokenize, model } = this.parts;
    let done = 0;
    for (const { token, start, end } of this.asNormalized.sections(text)) {
      if (token) {
        ids.push(token.id);
        continue;
      }
      const piece: Piece = { text: text.slice(start, end), isFirst: isFirst && start === 0 };
      for (const word of preTokenize ? preTokenize(piece) : [piece]) {
        if (word.text.length >= PAUSE) yield;
        const rest = model.encode(word.text, ids);
        if (rest) yield* rest;
        done += word.text.length;
        if (done < PAUSE) continue;
        done = 0;
        yield;
      }
    }
  }
}

/** Characters between pauses. */
const PAUSE = 1 << 14;
