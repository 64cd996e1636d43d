// Makes requests: from questions to strings and token ids.
import { EvaluationError } from './errors.js';
import { exampleSampler } from './few_shot/example_sampler.js';
import { lstrip, rstrip } from './python_text.js';
import { DEFAULT_FEWSHOT_SEED } from './seeds.js';
import type { Doc, Question, Task } from './task.js';

/** One continuation to be scored after one context. */
export interface TextRequest {
  context: string;
  continuation: string;
}

/** The same as token ids. */
export interface TokenRequest {
  contextIds: readonly number[];
  continuationIds: readonly number[];
}

/** The part of a tokenizer that requests need. */
export interface Encoder {
  /** Token ids of a text, without a BOS. */
  tokenize(text: string): number[] | Promise<number[]>;
  /** Replaces an empty context: BOS, or EOS if there is no BOS. */
  readonly prefixTokenId: number;
}

/** A document with its question and requests, one per choice. */
export interface Example {
  docId: number;
  /** The document in the samples file. */
  doc: Doc;
  question: Question;
  requests: TextRequest[];
}

export interface ExampleOptions {
  /** Number of few-shot examples. Default: the task's. */
  numFewshot?: number | undefined;
  /** Source of the few-shot examples; required if there are any. */
  fewshotDocs?: readonly Doc[] | undefined;
  /** Seed of the few-shot examples. Default: 1234. */
  fewshotSeed?: number | undefined;
  /** System prompt before the task's description. Default: none. */
  systemInstruction?: string | undefined;
}

/**
 * The requests of a task's documents.
 *
 * @throws EvaluationError naming an invalid document
 */
export function buildExamples(
  task: Task,
  docs: readonly Doc[],
  {
    numFewshot = task.numFewshot,
    fewshotDocs = [],
    fewshotSeed: seed = DEFAULT_FEWSHOT_SEED,
    systemInstruction = '',
  }: ExampleOptions = {},
): Example[] {
  const pool =
    numFewshot > 0 ? fewshotDocs.map((raw, i) => process(task, raw, `example ${i}`)) : [];
  const examplesOf = exampleSampler(task, { numFewshot, fewshotDocs: pool, seed });
  const instructions = delimited(systemInstruction, task.description);
  return docs.map((raw, docId) => {
    const doc = process(task, raw, `document ${docId}`);
    const question = ask(task, doc, `document ${docId}`);
    const shots = examplesOf(doc).map((example) =>
      exampleText(ask(task, example, `example ${pool.indexOf(example)}`)),
    );
    const prefix = instructions + shots.join('');
    return {
      docId,
      doc,
      question,
      requests: question.continuations.map((continuation, i) => ({
        context: prefix + (question.contexts[i] ?? question.contexts[0] ?? ''),
        continuation,
      })),
    };
  });
}

/** An example with its answer and an empty line. lm-eval omits both for an empty answer. */
function exampleText({ contexts, continuations, gold, target }: Question): string {
  const context = contexts[gold] ?? contexts[0] ?? '';
  return target === '' ? context : `${context}${continuations[gold]}\n\n`;
}

/** Joins two texts, with an empty line between them unless there is whitespace. */
function delimited(before: string, after: string): string {
  const touches = rstrip(before) === before && lstrip(after) === after;
  return before !== '' && after !== '' && touches ? `${before}\n\n${after}` : before + after;
}

function process(task: Task, raw: Doc, which: string): Doc {
  return naming(task, which, () => task.process?.(raw) ?? raw);
}

function ask(task: Task, doc: Doc, which: string): Question {
  return naming(task, which, () => task.question(doc));
}

/** Adds the document to an action's errors. */
function naming<T>(task: Task, which: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    throw new EvaluationError(`${task.name}, ${which}: ${error.message}`, { cause: error });
  }
}

/**
 * The tokens of a request. Trailing spaces of the context move to the continuation; both are encoded
 * together, and the continuation starts after as many tokens as the context alone has.
 */
export async function encodeRequest(
  { context, continuation }: TextRequest,
  encoder: Encoder,
): Promise<TokenRequest> {
  if (context === '') return encodeWithoutContext(continuation, encoder);
  const trimmed = rstrip(context);
  const moved = context.slice(trimmed.length) + continuation;
  const whole = await encoder.tokenize(trimmed + moved);
  const contextIds = await encoder.tokenize(trimmed);
  return { contextIds, continuationIds: whole.slice(contextIds.length) };
}

async function encodeWithoutContext(text: string, encoder: Encoder): Promise<TokenRequest> {
  const ids = await encoder.tokenize(text);
  const { prefixTokenId } = encoder;
  return ids[0] === prefixTokenId
    ? { contextIds: ids.slice(0, 1), continuationIds: ids.slice(1) }
    : { contextIds: [prefixTokenId], continuationIds: ids };
}

/** Caches the encodings of the last few texts, since the choices of a document share their context. */
export function rememberingEncoder(encoder: Encoder, size = 64): Encoder {
  const known = new Map<string, number[]>();
  return {
    prefixTokenId: encoder.prefixTokenId,
    async tokenize(text) {
      const found = known.get(text);
      if (found) return found;
      const ids = await encoder.tokenize(text);
      known.set(text, ids);
      const oldest = known.keys().next();
      if (known.size > size && !oldest.done) known.delete(oldest.value);
      return ids;
    },
  };
}

/** Checks that a request can be scored. @throws EvaluationError */
export function checkRequest({ contextIds, continuationIds }: TokenRequest): void {
  const part = contextIds.length === 0 ? 'context' : 'continuation';
  if (contextIds.length > 0 && continuationIds.length > 0) return;
  throw new EvaluationError(`a request's ${part} has no tokens, so nothing can be scored`);
}

/**
 * The model's input and the number of its last predictions to score. A long text is truncated on the left
 * to maxLength + 1 tokens, the last of which is only predicted.
 */
export function truncateRequest(
  { contextIds, continuationIds }: TokenRequest,
  maxLength: number,
): { ids: number[]; scored: number } {
  const ids = [...contextIds, ...continuationIds].slice(-(maxLength + 1));
  return { ids, scored: Math.min(continuationIds.length, ids.length - 1) };
}
