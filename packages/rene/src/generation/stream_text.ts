// streamText: continues a text and yields pieces of text.

import { InvalidArgumentError } from '@rene-js/layers';
import { describe } from '../describe.js';
import { checkIsOptions } from '../known_options.js';
import type { Tokenizer } from '../tokenizer.js';
import { collect, type GenerateResult } from './generate.js';
import type { GenerationModel } from './generation_model.js';
import { generationLoop } from './loop.js';
import type { StreamOptions } from './options.js';
import { StopStringFilter } from './stopping.js';
import { startSequence } from './stream.js';

/** The part of a tokenizer that streaming needs. */
export type TextTokenizer = Pick<Tokenizer, 'encode' | 'decodeStream' | 'eosTokenId'>;

/**
 * Continues a text. Yields the text after the prompt, in whole characters, without special tokens and
 * without the stop string that ended it. The generator's return value is that of stream.
 *
 * @param options as for stream; end-of-text tokens are the config's and the tokenizer's
 * @throws TokenizerError, InvalidArgumentError, GenerationError, GenerationAbortedError
 */
export async function* streamText(
  model: GenerationModel,
  tokenizer: TextTokenizer,
  prompt: string,
  options: Omit<StreamOptions, 'tokenizer'> = {},
): AsyncGenerator<string, GenerateResult, void> {
  if (typeof tokenizer?.encode !== 'function') {
    throw new InvalidArgumentError('tokenizer', 'a Tokenizer', describe(tokenizer));
  }
  checkIsOptions(options);
  const ids = tokenizer.encode(prompt);
  if (ids.length === 0) throw new InvalidArgumentError('prompt', 'some text', "''");
  checkVocabulary(ids, model);
  const eosTokenId =
    options.eosTokenId === undefined ? endTokens(model, tokenizer) : options.eosTokenId;
  const { sequences, config } = startSequence(model, ids, { ...options, tokenizer, eosTokenId });
  const filter = new StopStringFilter(config.stopStrings);
  const decoder = tokenizer.decodeStream({ skipSpecialTokens: true, promptIds: ids });
  for await (const [sequence] of generationLoop(model, sequences, config)) {
    const text = filter.push(decoder.push(sequence?.ids.at(-1) ?? -1));
    if (text !== '') yield text;
  }
  const rest = filter.push(decoder.end()) + filter.end();
  if (rest !== '') yield rest;
  return collect(sequences, config);
}

/** @throws InvalidArgumentError for a tokenizer of another vocabulary */
function checkVocabulary(ids: readonly number[], { config: { vocabSize } }: GenerationModel): void {
  const wrong = ids.find((id) => id >= vocabSize);
  if (wrong === undefined) return;
  const expected = `the model's own, whose ids are below ${vocabSize}`;
  throw new InvalidArgumentError('tokenizer', expected, `one that makes ${wrong} of the prompt`);
}

/** The end-of-text tokens of a model and its tokenizer. */
export function endTokens(
  { config }: Pick<GenerationModel, 'config'>,
  tokenizer: Pick<Tokenizer, 'eosTokenId'>,
): number[] {
  const own = tokenizer.eosTokenId === null ? [] : [tokenizer.eosTokenId];
  return [...new Set([...config.eosTokenIds, ...own])].filter((id) => id < config.vocabSize);
}
