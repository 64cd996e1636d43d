// Tokenizer: text to token ids and back, from a Hugging Face tokenizer.json.

import { InvalidArgumentError } from '@rene-js/layers/errors';
import {
  type ChatMessage,
  type ChatTemplateOptions,
  hasTemplate,
  renderChat,
} from './chat/chat_template.js';
import { authorsTokenizer, ownersTokenizer } from './checkpoint/authors_tokenizer.js';
import type { HubOptions } from './checkpoint/hub.js';
import { jsonFile } from './checkpoint/json_file.js';
import { fetchJson, Missing } from './checkpoint/web_file.js';
import type { WebFolder } from './checkpoint/web_folder.js';
import { readWebTokenizer } from './checkpoint/web_tokenizer.js';
import { describe } from './describe.js';
import { TokenizerError } from './errors.js';
import { asRecord } from './json.js';
import { refuseUnknownOptions } from './known_options.js';
import { checkHubOptions } from './load_options.js';
import { type AddedToken, readAddedToken } from './tokenizer/added_tokens.js';
import type { Place, StageMaker } from './tokenizer/decode_stage.js';
import { type DecodeStream, streamAfter, streamThrough } from './tokenizer/decode_stream.js';
import { readDecoder } from './tokenizer/decoders.js';
import { Encoder } from './tokenizer/encoder.js';
import { Fields } from './tokenizer/fields.js';
import type { Model } from './tokenizer/model.js';
import { readNormalizer } from './tokenizer/normalizers.js';
import { hasRegex, hasSlowRegex } from './tokenizer/pattern.js';
import { readPostProcessor } from './tokenizer/post_processor.js';
import { readPreTokenizer } from './tokenizer/pre_tokenizers.js';
import { readModel } from './tokenizer/read_model.js';
import { loadRegexEngine } from './tokenizer/regex_engine.js';
import { tokenIds } from './tokenizer/token_ids.js';

export type { DecodeStream };

/** Options of encode. */
export interface EncodeOptions {
  /** Add the special tokens of the post-processor, such as a BOS. Default: true. */
  addSpecialTokens?: boolean;
}

/** Options of decode. */
export interface DecodeOptions {
  /** Skip special tokens such as the end of text. Default: false, as in transformers. */
  skipSpecialTokens?: boolean;
}

/** Options of decodeStream. */
export interface DecodeStreamOptions extends DecodeOptions {
  /**
   * Tokens before the first one that is pushed, such as the prompt's. Their text is not returned, but the
   * next token is decoded as in the middle of a text, with the space before a word. Default: none.
   */
  promptIds?: readonly number[];
}

/** Text to token ids and back. Decoding does not clean up spaces: it returns the text of the tokens. */
export class Tokenizer {
  /** Upper bound of the ids that have a token. */
  readonly vocabSize: number;
  /** The end-of-text token, such as `<|endoftext|>`; null if the tokenizer names none. */
  readonly eosTokenId: number | null;
  readonly padTokenId: number | null;
  /** Whether encoding time is proportional to the length of any text. */
  readonly isFast: boolean;
  private readonly addedById: ReadonlyMap<number, AddedToken>;
  private readonly addedIds: ReadonlyMap<string, number>;
  /** The decoder's input for an added token. */
  private readonly addedTexts: ReadonlyMap<number, string>;
  private readonly specialTexts: ReadonlySet<string>;
  private readonly model: Model;
  private readonly encoder: Encoder;
  private readonly startDecoder: StageMaker;

  private constructor(
    private readonly json: Record<string, unknown>,
    private readonly config: unknown,
    where: string,
  ) {
    const part = <T>(name: string, read: (fields: Fields) => T): T | undefined => {
      const value = json[name] ?? undefined;
      return value === undefined ? undefined : read(new Fields(value, `${where}: ${name}`));
    };
    this.model = readModel(new Fields(json.model, `${where}: model`));
    const addedTokens = readAddedTokens(json.added_tokens ?? [], where);
    this.addedById = new Map(addedTokens.map((token) => [token.id, token]));
    this.addedIds = new Map(addedTokens.map(({ id, content }) => [content, id]));
    const normalize = part('normalizer', readNormalizer);
    this.encoder = new Encoder({
      addedTokens,
      normalize,
      preTokenize: part('pre_tokenizer', readPreTokenizer),
      model: this.model,
      postProcess: part('post_processor', readPostProcessor),
    });
    this.isFast = !hasSlowRegex(json.normalizer) && !hasSlowRegex(json.pre_tokenizer);
    this.startDecoder = part('decoder', readDecoder) ?? readDecoder(undefined);
    this.addedTexts = new Map(
      addedTokens.map(({ id, content, normalized }) => [
        id,
        normalized && normalize ? normalize(content) : content,
      ]),
    );
    this.specialTexts = new Set(
      addedTokens.flatMap(({ content, special }) => (special ? [content] : [])),
    );
    const { size } = this.model.vocabulary;
    this.vocabSize = addedTokens.reduce((most, { id }) => Math.max(most, id + 1), size);
    const names = config === undefined ? undefined : new Fields(config, `${where}: its config`);
    this.eosTokenId = this.idOf(names?.get('eos_token'), EOS_NAMES);
    this.padTokenId = this.idOf(names?.get('pad_token'), PAD_NAMES);
  }

  /**
   * Makes a tokenizer from parsed JSON, for example in a browser.
   *
   * @param json the content of tokenizer.json
   * @param config the content of tokenizer_config.json or special_tokens_map.json, which name the
   *   end-of-text and padding tokens. Default: none.
   * @param where the file's name in errors. Default: 'tokenizer.json'.
   * @throws TokenizerError for invalid JSON, or an unsupported component or regular expression
   */
  static fromJson(json: unknown, config: unknown = {}, where = 'tokenizer.json'): Tokenizer {
    const values = asRecord(json);
    if (!values || !asRecord(values.model)) {
      throw new TokenizerError(`${where}: expected a tokenizer.json with a "model", found none`);
    }
    return new Tokenizer(values, config, where);
  }

  /**
   * Reads tokenizer.json, and tokenizer_config.json, special_tokens_map.json and chat_template.jinja beside it if
   * present.
   *
   * @throws TokenizerError if it is not a tokenizer, CheckpointError if it cannot be read
   */
  static async fromFile(path: string): Promise<Tokenizer> {
    const { fileExists, readJsonFile, readTextFile } = await import('./checkpoint/node_files.js');
    const dir = path.replace(/[^/\\]*$/, '');
    let config: Record<string, unknown> = {};
    for (const name of ['special_tokens_map.json', 'tokenizer_config.json']) {
      if (!(await fileExists(dir + name))) continue;
      config = { ...config, ...asRecord(await readJsonFile(dir + name)) };
    }
    const template = `${dir}chat_template.jinja`;
    if (await fileExists(template)) config.chat_template = await readTextFile(template);
    return Tokenizer.fromJson(await readJsonFile(path), config, path);
  }

  /**
   * Loads a tokenizer: a tokenizer.json, a folder, a file URL, a hub id, or the http(s) URL of a folder. In
   * a page: a URL, a path of the page's server that begins with '/' or '.', or a hub id. Rene and
   * state-spaces models without a tokenizer get the one with which they were trained.
   *
   * @param options of downloads. onNotice is called if another tokenizer than the model's own is used.
   *   Default: console.warn.
   * @throws TokenizerError if there is none, HubError if it cannot be downloaded, InvalidArgumentError for
   *   unknown options
   */
  static async fromPretrained(
    idOrPath: string | URL,
    { onNotice = console.warn, ...others }: HubOptions = {},
  ): Promise<Tokenizer> {
    checkHubOptions(others);
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
    const found = await readWebTokenizer(folder);
    if (!(found instanceof Missing)) {
      const { normalizer, pre_tokenizer, decoder } = asRecord(found.json) ?? {};
      if (hasRegex([normalizer, pre_tokenizer, decoder])) await loadRegexEngine();
      return Tokenizer.fromJson(found.json, found.config, `${folder.name}/tokenizer.json`);
    }
    const config = await fetchJson(folder.url('config.json'), folder);
    const standard =
      (config instanceof Missing ? undefined : authorsTokenizer(config.json)) ??
      ownersTokenizer(id);
    if (standard === undefined) {
      throw new TokenizerError(`${folder.name}: it has no tokenizer.json, found ${found.why}`);
    }
    options.onNotice?.(`${folder.name} has no tokenizer; using that of ${standard}`);
    // The revision belongs to the model.
    return Tokenizer.fromPretrained(standard, { ...options, revision: undefined });
  }

  /** Whether the tokenizer has a chat template of its own. */
  get hasChatTemplate(): boolean {
    return hasTemplate(asRecord(this.config) ?? {});
  }

  /**
   * The text of a conversation as the model was trained on it, by the tokenizer's chat template. Encode it with
   * `addSpecialTokens: false`: the template writes them.
   *
   * @throws TokenizerError if there is no template, or it refuses the conversation
   */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return renderChat(messages, asRecord(this.config) ?? {}, options);
  }

  /** Contents of the files that save() writes, by name. */
  get files(): ReadonlyMap<string, unknown> {
    const config = asRecord(this.config) ?? {};
    return new Map<string, unknown>([
      ['tokenizer.json', this.json],
      ...(Object.keys(config).length > 0 ? [['tokenizer_config.json', config] as const] : []),
    ]);
  }

  /**
   * Writes tokenizer.json, and tokenizer_config.json or special_tokens_map.json if there was one, into a
   * folder. To save it with a model, pass it to model.save.
   *
   * @param dir a path or a file URL; created if necessary
   * @throws FileError naming the file that cannot be written; the folder is then unchanged
   */
  async save(dir: string | URL): Promise<void> {
    const { writeFolder } = await import('./checkpoint/write_folder.js');
    await writeFolder(
      dir,
      [...this.files].map(([name, json]) => jsonFile(name, json)),
    );
  }

  /**
   * The ids of a text, as in the tokenizers library. Special tokens that occur in the text are encoded as
   * such. Characters that the vocabulary lacks become its unknown token, or are skipped if it has none. A
   * lone surrogate counts as U+FFFD.
   *
   * @throws TokenizerError if the text cannot be encoded, or a regular expression of the tokenizer takes
   *   too many steps; InvalidArgumentError if it is not a string
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    const steps = this.encodeInSteps(text, options);
    for (;;) {
      const step = steps.next();
      if (step.done) return step.value;
    }
  }

  /**
   * Like `encode`, with a pause after every few thousand characters, so that a long text does not block the
   * thread.
   *
   * @returns the steps; the value of the last one is the ids
   * @throws TokenizerError, InvalidArgumentError
   */
  encodeInSteps(text: string, options: EncodeOptions = {}): Generator<void, number[], void> {
    if (typeof text !== 'string') {
      throw new InvalidArgumentError('text', 'a string', describe(text));
    }
    refuseUnknownOptions(options, ENCODE_OPTIONS);
    const { addSpecialTokens = true } = options;
    const wellFormed = text.replace(/\p{Surrogate}/gu, '\ufffd');
    return this.encoder.encode(wellFormed, addSpecialTokens);
  }

  /**
   * The text of ids. Bytes that are not UTF-8 become U+FFFD; ids without a token are left out.
   *
   * @throws InvalidArgumentError for what is no list of whole numbers, and for options that there are not
   */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    refuseUnknownOptions(options, DECODE_OPTIONS);
    const stream = this.streamOf(WHOLE_TEXT, options);
    const parts: string[] = [];
    for (const id of tokenIds(ids, 'ids')) parts.push(stream.push(id));
    parts.push(stream.end());
    return parts.join('');
  }

  /**
   * Decodes a token at a time. What it returns, joined, is what `decode` returns; after a prompt,
   * what `decode` returns for prompt and new tokens together, without the prompt's text.
   *
   * @throws InvalidArgumentError as decode does
   */
  decodeStream(given: DecodeStreamOptions = {}): DecodeStream {
    refuseUnknownOptions(given, STREAM_OPTIONS);
    const { promptIds: prompt = [], ...options } = given;
    const promptIds = [...tokenIds(prompt, 'promptIds')];
    // A decoder's state depends only on the last few tokens and on whether there is text before.
    const from = this.contextStart(promptIds, options);
    const isShown = (id: number) => this.textOf(id, options) !== undefined;
    const place = { hasTextBefore: promptIds.slice(0, from).some(isShown), hasTextAfter: false };
    const stream = this.streamOf(place, options);
    if (promptIds.length === 0) return stream;
    const shown = this.streamOf(place, options);
    let held = '';
    let passed = 0;
    for (const id of promptIds.slice(from)) {
      passed += stream.push(id).length;
      held += shown.push(id);
    }
    held += shown.end();
    return streamAfter(stream, held.slice(passed));
  }

  /**
   * The text of one token within a text, with the space between words. Parts of a character are U+FFFD.
   *
   * @param isFirst the token starts the text. Default: false.
   */
  tokenText(id: number, isFirst = false): string {
    const stream = this.streamOf({ hasTextBefore: !isFirst, hasTextAfter: true }, {});
    return stream.push(id) + stream.end();
  }

  /** Whether it is an added token that is special, such as the end of text. */
  isSpecial(id: number): boolean {
    return this.addedById.get(id)?.special ?? false;
  }

  /** The token of an id, as in the vocabulary; undefined for ids without one. */
  token(id: number): string | undefined {
    return this.addedById.get(id)?.content ?? this.model.vocabulary.token(id);
  }

  /** The id of a token, as in the vocabulary. */
  tokenId(token: string): number | undefined {
    return this.addedIds.get(token) ?? this.model.vocabulary.id(token);
  }

  private streamOf(place: Place, options: DecodeOptions): DecodeStream {
    return streamThrough(this.startDecoder(place), (id) => this.textOf(id, options));
  }

  /** The decoder's input for an id; undefined for skipped ids. */
  private textOf(id: number, { skipSpecialTokens = false }: DecodeOptions): string | undefined {
    const text = this.addedTexts.get(id) ?? this.model.vocabulary.token(id);
    // By its text, as the tokenizers library does: a special token that its normal form changes is shown.
    return skipSpecialTokens && text !== undefined && this.specialTexts.has(text)
      ? undefined
      : text;
  }

  /** Start of the tokens on which later text may depend: not within a sequence of bytes. */
  private contextStart(ids: readonly number[], options: DecodeOptions): number {
    let from = ids.length;
    for (let shown = 0; from > 0; from--) {
      const text = this.textOf(ids[from - 1] ?? -1, options);
      if (text === undefined) continue;
      if (shown >= CONTEXT && !text.startsWith('<0x')) break;
      shown++;
    }
    return from;
  }

  /** The id of a token that a config names, else of the first usual name that is a special token. */
  private idOf(named: unknown, usual: readonly string[]): number | null {
    const content = typeof named === 'string' ? named : asRecord(named)?.content;
    if (typeof content === 'string') return this.tokenId(content) ?? null;
    for (const name of usual) {
      const id = this.tokenId(name);
      if (id !== undefined && this.isSpecial(id)) return id;
    }
    return null;
  }
}

const ENCODE_OPTIONS = { addSpecialTokens: 'boolean' } as const;
const DECODE_OPTIONS = { skipSpecialTokens: 'boolean' } as const;
const STREAM_OPTIONS = { ...DECODE_OPTIONS, promptIds: true } as const;

const WHOLE_TEXT = { hasTextBefore: false, hasTextAfter: false };
/** More tokens than a character has bytes. */
const CONTEXT = 8;
const EOS_NAMES = ['<|endoftext|>', '</s>', '<|end_of_text|>'];
const PAD_NAMES = ['<|padding|>', '<pad>', '[PAD]'];

function readAddedTokens(tokens: unknown, where: string): AddedToken[] {
  if (!Array.isArray(tokens)) {
    throw new TokenizerError(`${where}: added_tokens: expected a list, found ${typeof tokens}`);
  }
  return tokens.map((token, i) =>
    readAddedToken(new Fields(token, `${where}: added_tokens[${i}]`)),
  );
}
