// WordPiece: the longest token at each position of a word; and WordLevel: models of whole words.
import type { Fields } from './fields.js';
import type { Model } from './model.js';
import { Vocabulary } from './vocabulary.js';

export class WordPieceModel implements Model {
  readonly vocabulary: Vocabulary;
  private readonly unknown: string;
  private readonly prefix: string;
  private readonly maxCharacters: number;

  /** @throws TokenizerError */
  constructor(fields: Fields) {
    this.vocabulary = Vocabulary.read(fields);
    this.unknown = fields.string('unk_token', '[UNK]');
    this.prefix = fields.string('continuing_subword_prefix', '##');
    this.maxCharacters = fields.count('max_input_chars_per_word', 100);
  }

  encode(word: string, ids: number[]): undefined {
    const parts = this.parts(word);
    if (parts) ids.push(...parts);
    else ids.push(this.vocabulary.unknownId(this.unknown));
  }

  /** Undefined if the whole word is unknown. */
  private parts(word: string): number[] | undefined {
    // A character has at most two units.
    if (word.length > 2 * this.maxCharacters) return undefined;
    const characters = [...word];
    if (characters.length > this.maxCharacters) return undefined;
    const parts: number[] = [];
    for (let start = 0; start < characters.length; ) {
      let end = Math.min(characters.length, start + this.vocabulary.longest);
      let id: number | undefined;
      for (; end > start; end--) {
        const part = characters.slice(start, end).join('');
        id = this.vocabulary.id(start > 0 ? this.prefix + part : part);
        if (id !== undefined) break;
      }
      if (id === undefined) return undefined;
      parts.push(id);
      start = end;
    }
    return parts;
  }
}

export class WordLevelModel implements Model {
  readonly vocabulary: Vocabulary;
  private readonly unknown: string;

  /** @throws TokenizerError */
  constructor(fields: Fields) {
    this.vocabulary = Vocabulary.read(fields);
    this.unknown = fields.string('unk_token', '<unk>');
  }

  encode(word: string, ids: number[]): undefined {
    ids.push(this.vocabulary.id(word) ?? this.vocabulary.unknownId(this.unknown));
  }
}
