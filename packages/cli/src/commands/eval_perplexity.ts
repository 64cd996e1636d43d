// `rene eval --text FILE`: perplexity of a text.
import { readFile } from 'node:fs/promises';
import { systemReason } from '@rene-js/rene/internal';
import { EvaluationError } from '../evaluation/errors.js';
import type { EvaluationModel } from '../evaluation/evaluation_model.js';
import { readRecords } from '../evaluation/jsonl.js';
import { type PerplexityOptions, perplexity } from '../evaluation/perplexity.js';
import type { EvalOptions } from './eval_options.js';
import { withProgressBar } from './progress_bar.js';

/** A .jsonl file has one document per line, in the field `text` or `page`. Any other file is one document. */
export async function runPerplexity(
  model: EvaluationModel,
  { text: path = '', context, limit, json }: EvalOptions,
  options: PerplexityOptions,
): Promise<void> {
  const all = await readDocuments(path);
  const documents = all.slice(
    0,
    limit === undefined ? undefined : Math.ceil(limit < 1 ? limit * all.length : limit),
  );
  const found = await withProgressBar(
    'perplexity [{bar}] {percentage}% {eta_formatted} left',
    (update) =>
      perplexity(model, documents, {
        ...options,
        context,
        onProgress: ({ share }) => update(share * 1000, 1000),
      }),
  );
  if (json) console.log(JSON.stringify({ file: path, ...found }, null, 2));
  else {
    const count = (n: number) => n.toLocaleString('en');
    console.log(`word perplexity  ${found.wordPerplexity.toFixed(4)}`);
    console.log(`byte perplexity  ${found.bytePerplexity.toFixed(4)}`);
    console.log(`bits per byte    ${found.bitsPerByte.toFixed(4)}`);
    console.log(
      `${count(found.documents)} documents, ${count(found.tokens)} tokens, ` +
        `${count(found.words)} words, ${count(found.bytes)} bytes`,
    );
  }
}

async function readDocuments(path: string): Promise<string[]> {
  if (!/\.jsonl?$/.test(path)) {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      throw new EvaluationError(`${path}: cannot be read: ${systemReason(error)}`, {
        cause: error,
      });
    });
    return [text];
  }
  return (await readRecords(path)).map(({ text, page }, i) => {
    const document = text ?? page;
    if (typeof document === 'string') return document;
    throw new EvaluationError(`${path}, document ${i}: expected a 'text' or 'page'`);
  });
}
