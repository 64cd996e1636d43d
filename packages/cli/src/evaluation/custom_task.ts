// A custom multiple-choice task from a JSON or JSONL file.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseJson } from '@rene-js/rene/internal';
import type { DocSource } from './data/documents.js';
import { EvaluationError } from './errors.js';
import { textsOf } from './fields.js';
import { readRecords } from './jsonl.js';
import { type Doc, isDoc, type MetricName, oneContext, type Task } from './task.js';

/** A task with its documents. */
export interface CustomTask {
  task: Task;
  docs: readonly Doc[];
  fewshotDocs: readonly Doc[];
}

/**
 * Reads a task: documents, a line or list item each,
 *
 * {"question": "...", "choices": ["...", ...], "answer": 0}
 *
 * or an object {"name", "description", "metrics", "num_fewshot", "fewshot_docs", "fewshot_config",
 * "docs"} of which only docs is needed. The examples are drawn by the seed; the fewshot_config
 * {"sampler": "first_n"} takes the first ones. `question` may be called `query`, `context` or `ctx`; `answer` may be called
 * `gold` or `label`, and be an index from 0, the choice's text or its letter. The question is the
 * model's context as it stands; a space separates each choice.
 *
 * @throws EvaluationError
 */
export async function readCustomTask(path: string): Promise<CustomTask> {
  const header = await readHeader(path);
  const docs = header ? docList(header, 'docs', path) : await readRecords(path);
  const fewshotDocs =
    header?.fewshot_docs === undefined ? [] : docList(header, 'fewshot_docs', path);
  const { name, description = '', metrics = ['acc', 'acc_norm'], num_fewshot = 0 } = header ?? {};
  const sampler = samplerOf(header?.fewshot_config, path);
  if (typeof description !== 'string' || !isShots(num_fewshot) || !isMetrics(metrics)) {
    throw new EvaluationError(
      `${path}: expected a text 'description', a number 'num_fewshot', and 'metrics' of acc and acc_norm`,
    );
  }
  const fallback = basename(path).replace(/\.jsonl?$/, '');
  return {
    docs,
    fewshotDocs,
    task: {
      name: typeof name === 'string' ? name : fallback,
      version: 1,
      dataset: { path, name: null, test: 'docs', fewshot: 'fewshot_docs' },
      metrics,
      description,
      numFewshot: num_fewshot,
      ...(sampler && { sampler }),
      question(doc) {
        const choices = textsOf(doc, 'choices');
        const gold = answerOf(doc, choices);
        return oneContext(questionOf(doc), choices, gold, String(gold));
      },
      templates: { docToText: 'question', docToTarget: 'answer', docToChoice: 'choices' },
    },
  };
}

/** Documents of custom tasks from their own files, and of other tasks from another source. */
export function withCustomTasks(customs: readonly CustomTask[], source: DocSource): DocSource {
  return {
    async load(task, withExamples) {
      return customs.find((custom) => custom.task === task) ?? source.load(task, withExamples);
    },
  };
}

/** The object with the documents, if the file is one. */
async function readHeader(path: string): Promise<Doc | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  try {
    const value = parseJson(text);
    return isDoc(value) && value.docs !== undefined ? value : undefined;
  } catch {
    return undefined; // JSONL or invalid JSON: readRecords reports the line
  }
}

function docList(header: Doc, key: string, path: string): Doc[] {
  const value = header[key];
  if (Array.isArray(value) && value.every(isDoc)) return value;
  throw new EvaluationError(`${path}: ${key}: expected a list of documents`);
}

function questionOf(doc: Doc): string {
  const key = ['question', 'query', 'context', 'ctx'].find((k) => typeof doc[k] === 'string');
  if (key !== undefined) return String(doc[key]);
  throw new EvaluationError("expected a text 'question' (or query, context, ctx), found none");
}

function answerOf(doc: Doc, choices: readonly string[]): number {
  const answer = doc.answer ?? doc.gold ?? doc.label;
  if (typeof answer === 'number') return answer;
  if (typeof answer === 'string') {
    const byText = choices.indexOf(answer);
    if (byText >= 0) return byText;
    if (/^[A-Z]$/.test(answer)) return answer.charCodeAt(0) - 65;
    if (/^\d+$/.test(answer)) return Number(answer);
  }
  throw new EvaluationError(
    `field 'answer' (or gold, label): expected an index from 0, the text of a choice or its letter, found ${JSON.stringify(answer)}`,
  );
}

/** Undefined for lm-eval's default. */
function samplerOf(config: unknown, path: string): Task['sampler'] {
  if (config === undefined) return undefined;
  const sampler = isDoc(config) ? config.sampler : config;
  if (sampler === 'first_n') return 'first_n';
  if (sampler === 'default') return undefined;
  throw new EvaluationError(
    `${path}: fewshot_config: expected a sampler of default or first_n, found ${JSON.stringify(sampler)}`,
  );
}

function isShots(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}

function isMetrics(value: unknown): value is MetricName[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((metric) => metric === 'acc' || metric === 'acc_norm')
  );
}
