// Prepares a run from documents: tokenizer and token ids.
import { readFile } from 'node:fs/promises';
import { fileExists } from '../checkpoint/node_files.js';
import { fileError } from '../file_errors.js';
import { Tokenizer } from '../tokenizer.js';
import { tokenizerJson, trainBpe } from './bpe_trainer.js';
import { encodeDocuments, type TokenDocuments } from './token_dataset.js';
import { TrainingError } from './training_error.js';
import { stateFile } from './training_state.js';

/** A tokenizer with its files for TrainOptions.files. */
export interface TokenizerWithFiles {
  tokenizer: Tokenizer;
  /** By name, such as tokenizer.json. */
  files: ReadonlyMap<string, Uint8Array>;
}

/**
 * The tokenizer of the run in a folder; for a new run, one trained on the texts. Writes nothing: pass its
 * files to train().
 */
export async function tokenizerFor(
  dir: string,
  texts: readonly string[],
  vocabSize: number,
): Promise<TokenizerWithFiles> {
  const name = 'tokenizer.json';
  const path = `${dir}/${name}`;
  const isThere = (await fileExists(stateFile(dir))) && (await fileExists(path));
  const bytes = isThere
    ? await readFile(path).catch((error: unknown) => {
        throw fileError(path, 'read', error);
      })
    : new TextEncoder().encode(tokenizerJson(trainBpe(texts, { vocabSize })));
  const json: unknown = JSON.parse(new TextDecoder().decode(bytes));
  return { tokenizer: Tokenizer.fromJson(json, {}, path), files: new Map([[name, bytes]]) };
}

/**
 * Encodes texts, one document each, with the end of text after each.
 *
 * @param timesInEpoch occurrences of a text per epoch, from 1 to 255. Default: 1
 */
export function tokenize(
  texts: readonly string[],
  tokenizer: Tokenizer,
  timesInEpoch?: (text: string) => number,
): TokenDocuments {
  const { eosTokenId: eosId, vocabSize } = tokenizer;
  if (eosId === null) throw new TrainingError('the tokenizer has no end-of-text token');
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  const documents = encodeDocuments(texts, { encode, eosId, vocabSize });
  if (!timesInEpoch) return documents;
  const repeats = Uint8Array.from(
    texts.filter((text) => text !== ''),
    timesInEpoch,
  );
  return { ...documents, repeats };
}
