// The reference requests and scores of the original harness, if available.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { Tokenizer } from '@rene-js/rene';
import { shared } from '@rene-js/testing';
import type { Context } from 'mocha';
import { parseRecords } from '../../src/evaluation/jsonl.js';
import { codePointLength } from '../../src/evaluation/python_text.js';
import type { Encoder } from '../../src/evaluation/requests.js';
import type { Doc } from '../../src/evaluation/task.js';

export const REFERENCE_TASKS = [
  'copa',
  'hellaswag',
  'piqa',
  'arc_easy',
  'arc_challenge',
  'winogrande',
  'openbookqa',
  'mmlu_abstract_algebra',
  'mmlu_anatomy',
  'mmlu_high_school_european_history',
];

export function skipWithoutReferences(test: Context): void {
  if (!existsSync(shared('goldens/evals'))) test.skip();
}

export function references(name: string): Doc[] {
  const path = shared(`goldens/evals/${name}.jsonl`);
  return parseRecords(readFileSync(path, 'utf8'), path);
}

export function referenceJson(name: string): Doc {
  return JSON.parse(readFileSync(shared(`goldens/evals/${name}.json`), 'utf8'));
}

let olmo: Promise<Encoder> | undefined;

/** The tokenizer of the references, loaded once. */
export function olmoEncoder(): Promise<Encoder> {
  olmo ??= Tokenizer.fromFile(shared('tokenizers/olmo-dolma-v1_5.json')).then((tokenizer) => ({
    prefixTokenId: 50279,
    tokenize: (text: string) => tokenizer.encode(text),
  }));
  return olmo;
}

/** The five examples of an MMLU context, parsed from it. */
export function mmluExamples(context: string): Doc[] {
  const shots = context.split('\n\n').slice(1).join('\n\n');
  const pattern = /([\s\S]*?)\nA\. (.*?)\nB\. (.*?)\nC\. (.*?)\nD\. (.*?)\nAnswer: ([ABCD])\n\n/gs;
  return [...shots.matchAll(pattern)].map(([, question, a, b, c, d, letter = '']) => ({
    question,
    choices: [a, b, c, d],
    answer: 'ABCD'.indexOf(letter),
  }));
}

/** The made-up log-likelihood of the references. */
export function fakeLoglikelihood(context: string, continuation: string) {
  const hash = createHash('sha256').update(`${context}\0${continuation}`).digest();
  const k = 1 + (hash.readUInt32BE(0) % 32);
  return {
    loglikelihood: -(k * codePointLength(continuation)) / 16,
    isGreedy: ((hash[4] ?? 0) & 1) === 1,
  };
}
