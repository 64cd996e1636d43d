// From text files to what a run needs: a tokenizer of their own, and documents as ids.
import { readFile } from 'node:fs/promises';
import { fileExists, writeFileAtomically } from '../checkpoint/node_files.js';
import { Tokenizer } from '../tokenizer.js';
import { tokenizerJson, trainBpe } from './bpe_trainer.js';
import { encodeDocuments, type TokenDocuments } from './token_dataset.js';
import { TrainingError } from './training_error.js';

/** The lines of a UTF-8 file, each a document; empty ones are left out. */
export async function readLines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TrainingError(`the training text ${path} cannot be read: ${why}`, { cause });
  });
  return text.split(/\r?\n/).filter((line) => line !== '');
}

/** The tokenizer of a folder; trained on the texts and written there if it has none yet. */
export async function tokenizerFor(
  dir: string,
  texts: readonly string[],
  vocabSize: number,
): Promise<Tokenizer> {
  const path = `${dir}/tokenizer.json`;
  if (!(await fileExists(path))) {
    const json = new TextEncoder().encode(tokenizerJson(trainBpe(texts, { vocabSize })));
    await writeFileAtomically(path, (put) => put(json));
  }
  return Tokenizer.fromFile(path);
}

/**
 * Encodes texts, a document each, with the tokenizer's end of text after each.
 *
 * @param timesInEpoch how often a text comes in an epoch, from 1 to 255; once unless given
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
