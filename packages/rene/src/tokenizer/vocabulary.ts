// The vocabulary: tokens and their ids.
import { TokenizerError } from '../errors.js';
import { asRecord } from '../json.js';
import type { Fields } from './fields.js';

const MAX_ID = 1 << 24;

export class Vocabulary {
  private readonly tokens: (string | undefined)[] = [];
  /** The length of the longest token, in UTF-16 units. */
  readonly longest: number;

  constructor(private readonly ids: ReadonlyMap<string, number>) {
    let longest = 0;
    for (const [token, id] of ids) {
      this.tokens[id] = token;
      longest = Math.max(longest, token.length);
    }
    this.longest = longest;
  }

  /** The field `vocab`, an object of ids. @throws TokenizerError */
  static read(fields: Fields): Vocabulary {
    const values =
      asRecord(fields.get('vocab')) ?? fields.refuse('vocab', 'an object of token ids');
    const ids = new Map<string, number>();
    for (const token of Object.keys(values)) {
      const id = values[token];
      if (!isId(id)) {
        const name = `${fields.where}.vocab: ${JSON.stringify(token)}`;
        throw new TokenizerError(`${name}: expected an id, found ${JSON.stringify(id)}`);
      }
      ids.set(token, id);
    }
    return new Vocabulary(ids);
  }

  /** Upper bound of the ids. */
  get size(): number {
    return this.tokens.length;
  }

  id(token: string): number | undefined {
    return this.ids.get(token);
  }

  token(id: number): string | undefined {
    return this.tokens[id];
  }

  /** The ids of the tokens `<0x00>` to `<0xFF>`; undefined for missing ones. */
  byteIds(): (number | undefined)[] {
    return Array.from({ length: 256 }, (_, byte) =>
      this.id(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
    );
  }

  /** The id of the unknown token. @throws TokenizerError */
  unknownId(token: string): number {
    const id = this.id(token);
    if (id !== undefined) return id;
    const name = JSON.stringify(token);
    throw new TokenizerError(`unknown text cannot be encoded: the vocabulary has no token ${name}`);
  }
}

function isId(id: unknown): id is number {
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < MAX_ID;
}
