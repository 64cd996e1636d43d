// Questions to the strings and token ids that a model is asked about.
import { EvaluationError } from './errors.js';
import { rstrip } from './python_text.js';
import { type Doc, exampleSplit, type Question, type Task } from './task.js';

/** One continuation to be scored after one context. */
export interface TextRequest {
  context: string;
  continuation: string;
}

/** The same in tokens. */
export interface TokenRequest {
  contextIds: readonly number[];
  continuationIds: readonly number[];
}

/** What requests need of a tokenizer. */
export interface Encoder {
  /** Token ids of a text, without a BOS. */
  tokenize(text: string): number[] | Promise<number[]>;
  /** Stands for an empty context: BOS, or EOS where there is no BOS. */
  readonly prefixTokenId: number;
}

/** A document with its question and requests, one a choice. */
export interface Example {
  docId: number;
  /** As the samples file shows it. */
  doc: Doc;
  question: Question;
  requests: TextRequest[];
}

export interface ExampleOptions {
  /** Examples before each question; the task's own number unless given. */
  numFewshot?: number | undefined;
  /** Where the examples come from, the first ones first; needed if there are any. */
  fewshotDocs?: readonly Doc[] | undefined;
}

/**
 * The requests of a task's documents.
 *
 * @throws EvaluationError naming the document that is not what the task expects
 */
export function buildExamples(
  task: Task,
  docs: readonly Doc[],
  { numFewshot = task.numFewshot, fewshotDocs = [] }: ExampleOptions = {},
): Example[] {
  const prefix = task.description + fewshotText(task, fewshotDocs, numFewshot);
  return docs.map((raw, docId) => {
    const question = ask(task, raw, `document ${docId}`);
    const contexts = question.continuations.map(
      (_, i) => prefix + (question.contexts[i] ?? question.contexts[0] ?? ''),
    );
    return {
      docId,
      doc: task.process?.(raw) ?? raw,
      question,
      requests: contexts.map((context, i) => ({
        context,
        continuation: question.continuations[i] ?? '',
      })),
    };
  });
}

/** The first documents with their right answers, each followed by an empty line. */
function fewshotText(task: Task, docs: readonly Doc[], count: number): string {
  if (count === 0) return '';
  if (docs.length < count) {
    throw new EvaluationError(
      `${task.name}: expected ${count} documents as examples (--num_fewshot), found ${docs.length}; ` +
        `give them with --fewshot_docs FILE, or as ${exampleSplit(task.dataset) ?? 'fewshot'}.jsonl in --data-dir`,
    );
  }
  const shots = docs.slice(0, count).map((doc, i) => {
    const { contexts, continuations, gold } = ask(task, doc, `example ${i}`);
    return `${contexts[gold] ?? contexts[0]}${continuations[gold]}\n\n`;
  });
  return shots.join('');
}

function ask(task: Task, doc: Doc, which: string): Question {
  try {
    return task.question(doc);
  } catch (error) {
    if (!(error instanceof EvaluationError)) throw error;
    throw new EvaluationError(`${task.name}, ${which}: ${error.message}`, { cause: error });
  }
}

/**
 * The tokens of a request. Spaces at the context's end move to the continuation, both are encoded
 * together, and the continuation is what comes after as many tokens as the context alone has.
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

/** Remembers the encodings of the last few texts: the choices of a document share their context. */
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
 * What the model is fed, and how many of its last predictions are scored. Too long a text loses its
 * beginning: at most maxLength + 1 tokens stay, the last of which is predicted only.
 */
export function truncateRequest(
  { contextIds, continuationIds }: TokenRequest,
  maxLength: number,
): { ids: number[]; scored: number } {
  const ids = [...contextIds, ...continuationIds].slice(-(maxLength + 1));
  return { ids, scored: Math.min(continuationIds.length, ids.length - 1) };
}
