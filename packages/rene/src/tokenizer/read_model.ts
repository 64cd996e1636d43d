// Creates the model of a tokenizer.json by its type.
import { TokenizerError } from '../errors.js';
import { asRecord } from '../json.js';
import { BpeModel } from './bpe.js';
import type { Fields } from './fields.js';
import type { Model } from './model.js';
import { UnigramModel } from './unigram.js';
import { WordLevelModel, WordPieceModel } from './word_piece.js';

/** @throws TokenizerError */
export function readModel(fields: Fields): Model {
  const type = fields.has('type') ? fields.string('type') : untypedModel(fields);
  switch (type) {
    case 'BPE':
      return new BpeModel(fields);
    case 'Unigram':
      return new UnigramModel(fields);
    case 'WordPiece':
      return new WordPieceModel(fields);
    case 'WordLevel':
      return new WordLevelModel(fields);
    default: {
      const expected = 'a model of type BPE, Unigram, WordPiece or WordLevel';
      const found = JSON.stringify(fields.get('type'));
      throw new TokenizerError(`${fields.where}: expected ${expected}, found ${found}`);
    }
  }
}

/** Files from before 2021 have no type. */
function untypedModel(fields: Fields): string {
  if (Array.isArray(fields.get('vocab'))) return 'Unigram';
  if (!asRecord(fields.get('vocab'))) return 'of no type and without a "vocab"';
  if (fields.has('merges')) return 'BPE';
  return fields.has('continuing_subword_prefix') || fields.has('max_input_chars_per_word')
    ? 'WordPiece'
    : 'WordLevel';
}
