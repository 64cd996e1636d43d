// Text to token ids and back, by a tokenizer.json of the Hugging Face tokenizers.
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { authorsTokenizer, ownersTokenizer } from './checkpoint/authors_tokenizer.js';
import type { HubOptions } from './checkpoint/hub.js';
import { fetchJson, Missing } from './checkpoint/web_file.js';
import type { WebFolder } from './checkpoint/web_folder.js';
import {
  byteLevelBytes,
  byteLevelStream,
  type DecodeStream,
  type Piece,
  windowStream,
} from './decode_stream.js';
import { TokenizerError } from './errors.js';
import { asRecord } from './json.js';

export type { DecodeStream };

/** What encode can be told. */
export interface EncodeOptions {
  /** Whether tokens that the tokenizer puts around a text (a BOS) are added. Default true. */
  addSpecialTokens?: boolean;
}

/** What decode and decodeStream can be told. */
export interface DecodeOptions {
  /** Leaves out special tokens such as the end of text. Default false, as in transformers. */
  skipSpecialTokens?: boolean;
}

/** Text to token ids and back. Decoding never cleans up spaces: it returns the tokens' own text. */
export class Tokenizer {
  /** Ids that have a token are below it. */
  readonly vocabSize: number;
  /** The end of a text, e.g. `<|endoftext|>`; null if the tokenizer names none. */
  readonly eosTokenId: number | null;
  readonly padTokenId: number | null;
  private readonly special: ReadonlySet<number>;
  private readonly added: ReadonlyMap<number, string>;
  private readonly isByteLevel: boolean;
  private readonly pieces = new Map<number, Piece>();

  private constructor(
    private readonly tokenizer: HuggingFaceTokenizer,
    json: Record<string, unknown>,
    config: Record<string, unknown>,
  ) {
    const added = [...tokenizer.get_added_tokens_decoder().values()];
    this.added = new Map(added.map(({ id, content }) => [id, content]));
    this.special = new Set(added.filter(({ special }) => special).map(({ id }) => id));
    this.vocabSize = tokenizer.model?.vocab.length ?? 0;
    this.isByteLevel = typeOf(json.decoder) === 'ByteLevel';
    this.eosTokenId = this.idOf(config.eos_token, ['<|endoftext|>', '</s>', '<|end_of_text|>']);
    this.padTokenId = this.idOf(config.pad_token, ['<|padding|>', '<pad>', '[PAD]']);
  }

  /**
   * A tokenizer from parsed JSON; the way in for browsers.
   *
   * @param json the content of tokenizer.json.
   * @param config the content of tokenizer_config.json or special_tokens_map.json, which name the
   *   end of text and the padding.
   * @throws TokenizerError when the JSON is not that of a tokenizer.
   */
  static fromJson(json: unknown, config: unknown = {}, where = 'tokenizer.json'): Tokenizer {
    const values = asRecord(json);
    const options = asRecord(config);
    const model = asRecord(values?.model);
    if (!values || !model) {
      throw new TokenizerError(`${where}: expected a tokenizer.json with a "model", found none`);
    }
    checkModel(model, where);
    checkAddedTokens(values.added_tokens ?? [], where);
    if (!options) throw new TokenizerError(`${where}: the tokenizer's config is not an object`);
    const missing = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
    const complete = { ...missing, ...values, added_tokens: values.added_tokens ?? [] };
    return guarded(`${where}: not a tokenizer that can be used`, () => {
      return new Tokenizer(new HuggingFaceTokenizer(complete, options), complete, options);
    });
  }

  /**
   * Reads tokenizer.json, and tokenizer_config.json or special_tokens_map.json beside it if there.
   *
   * @throws TokenizerError for what is no tokenizer, CheckpointError for what cannot be read.
   */
  static async fromFile(path: string): Promise<Tokenizer> {
    const { fileExists, readJsonFile } = await import('./checkpoint/node_files.js');
    const dir = path.replace(/[^/\\]*$/, '');
    let config: Record<string, unknown> = {};
    for (const name of ['special_tokens_map.json', 'tokenizer_config.json']) {
      if (!(await fileExists(dir + name))) continue;
      config = { ...config, ...asRecord(await readJsonFile(dir + name)) };
    }
    return Tokenizer.fromJson(await readJsonFile(path), config, path);
  }

  /**
   * The tokenizer of a model or of its own: a tokenizer.json, a folder, a file URL, a hub id, or the http(s)
   * URL of a folder. In a page: a URL, a path of the page's server that begins with '/' or '.', or a hub id.
   * Rene and state-spaces models without a tokenizer get the one they were trained with.
   *
   * @param options how to reach the hub. onNotice is called when another tokenizer than the model's own is
   *   taken. Default: console.warn.
   * @throws TokenizerError when there is none, HubError when it cannot be downloaded.
   */
  static async fromPretrained(
    idOrPath: string | URL,
    { onNotice = console.warn, ...others }: HubOptions = {},
  ): Promise<Tokenizer> {
    const options = { onNotice, ...others };
    const { webFolderOf } = await import('./checkpoint/platform.js');
    const folder = webFolderOf(idOrPath, options);
    if (folder) return Tokenizer.fromWeb(folder, String(idOrPath), options);
    const { resolveTokenizer } = await import('./checkpoint/resolve.js');
    return Tokenizer.fromFile(await resolveTokenizer(idOrPath, options));
  }

  private static async fromWeb(
    folder: WebFolder,
    id: string,
    options: HubOptions,
  ): Promise<Tokenizer> {
    const [found, ...named] = await Promise.all(
      ['tokenizer.json', 'special_tokens_map.json', 'tokenizer_config.json'].map((name) =>
        fetchJson(folder.url(name), folder),
      ),
    );
    if (found && !(found instanceof Missing)) {
      const config = Object.assign(
        {},
        ...named.map((each) => (each instanceof Missing ? {} : asRecord(each.json))),
      );
      return Tokenizer.fromJson(found.json, config, `${folder.name}/tokenizer.json`);
    }
    const config = await fetchJson(folder.url('config.json'), folder);
    const standard =
      (config instanceof Missing ? undefined : authorsTokenizer(config.json)) ??
      ownersTokenizer(id);
    if (standard === undefined) {
      throw new TokenizerError(`${folder.name}: it has no tokenizer.json, found ${found?.why}`);
    }
    options.onNotice?.(`${folder.name} has no tokenizer; using that of ${standard}`);
    // The revision was the model's.
    return Tokenizer.fromPretrained(standard, { ...options, revision: undefined });
  }

  /**
   * The ids of a text. Special tokens that are written out in the text count as themselves;
   * characters that the vocabulary cannot express are left out (a byte-level one has all).
   *
   * @throws TokenizerError when the tokenizer makes tokens that its vocabulary lacks.
   */
  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    if (text === '') return [];
    const { ids, tokens } = guarded('the tokenizer cannot encode', () =>
      this.tokenizer.encode(text, { add_special_tokens: addSpecialTokens }),
    );
    const unknown = ids.findIndex((id: number | undefined) => id === undefined);
    if (unknown < 0) return ids;
    throw new TokenizerError(`the vocabulary has no token for ${JSON.stringify(tokens[unknown])}`);
  }

  /** The text of ids. Bytes that are no UTF-8 become U+FFFD; ids without a token are left out. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const stream = this.decodeStream(options);
    const parts: string[] = [];
    for (const id of ids) parts.push(stream.push(id));
    parts.push(stream.end());
    return parts.join('');
  }

  /** Decodes a token at a time. What it returns, joined, is what `decode` returns. */
  decodeStream({ skipSpecialTokens = false }: DecodeOptions = {}): DecodeStream {
    const skip = (id: number) => skipSpecialTokens && this.special.has(id);
    if (this.isByteLevel) {
      return byteLevelStream((id) => (skip(id) ? undefined : this.piece(id)));
    }
    const known = (id: number) => !skip(id) && this.tokenizer.id_to_token(id) !== undefined;
    return windowStream((ids) => {
      const tokens = ids.filter(known);
      if (tokens.length === 0) return '';
      return guarded('the tokenizer cannot decode', () =>
        this.tokenizer.decode(tokens, { clean_up_tokenization_spaces: false }),
      );
    });
  }

  /** The token of an id as the vocabulary spells it, undefined for ids without one. */
  token(id: number): string | undefined {
    return this.tokenizer.id_to_token(id);
  }

  /** The id of a token as the vocabulary spells it. */
  tokenId(token: string): number | undefined {
    return this.tokenizer.token_to_id(token);
  }

  private piece(id: number): Piece {
    if (this.pieces.has(id)) return this.pieces.get(id);
    const token = this.tokenizer.id_to_token(id);
    const piece = this.added.get(id) ?? (token === undefined ? undefined : byteLevelBytes(token));
    this.pieces.set(id, piece);
    return piece;
  }

  /** The id of a token that a config names, else of the first usual name that is a special token. */
  private idOf(named: unknown, usual: readonly string[]): number | null {
    const content = typeof named === 'string' ? named : asRecord(named)?.content;
    if (typeof content === 'string') return this.tokenizer.token_to_id(content) ?? null;
    for (const name of usual) {
      const id = this.tokenizer.token_to_id(name);
      if (id !== undefined && this.special.has(id)) return id;
    }
    return null;
  }
}

const MODEL_TYPES: readonly unknown[] = ['BPE', 'WordPiece', 'Unigram'];
const MAX_ID = 1 << 24;

/** What the library takes on trust. */
function checkModel({ type, vocab }: Record<string, unknown>, where: string): void {
  if (!MODEL_TYPES.includes(type)) {
    throw new TokenizerError(
      `${where}: expected a model of type BPE, WordPiece or Unigram, found ${JSON.stringify(type)}`,
    );
  }
  if (type === 'Unigram') return;
  const ids = asRecord(vocab);
  if (!ids) throw new TokenizerError(`${where}: model.vocab: expected an object of token ids`);
  for (const [token, id] of Object.entries(ids)) {
    if (isId(id)) continue;
    throw new TokenizerError(
      `${where}: model.vocab: ${JSON.stringify(token)}: expected an id, found ${JSON.stringify(id)}`,
    );
  }
}

function checkAddedTokens(tokens: unknown, where: string): void {
  const isList = Array.isArray(tokens);
  const wrong = isList && tokens.findIndex((token) => !isAddedToken(asRecord(token) ?? {}));
  if (wrong === -1) return;
  throw new TokenizerError(
    `${where}: added_tokens${isList ? `[${wrong}]` : ''}: expected an id and a content`,
  );
}

function isAddedToken({ id, content }: Record<string, unknown>): boolean {
  return isId(id) && typeof content === 'string' && content !== '';
}

function isId(id: unknown): boolean {
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < MAX_ID;
}

/** The library fails with plain TypeErrors on files that lack what it expects. */
function guarded<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TokenizerError(`${what}: ${why}`, { cause: error });
  }
}

function typeOf(value: unknown): unknown {
  return asRecord(value)?.type;
}
