// Writes requests as JSON lines for any model, and reads the answers.
import { EvaluationError } from './errors.js';
import type { LoadedTask } from './evaluate.js';
import { textsOf } from './fields.js';
import type { Loglikelihood } from './metrics.js';
import { type Encoder, encodeRequest, rememberingEncoder } from './requests.js';
import type { Doc, Question, Task } from './task.js';

/**
 * The requests of a task, one object per document: doc_id, ctx and continuations (or contexts and
 * continuation if the contexts differ), gold; with an encoder also context_ids and continuation_ids.
 */
export async function* requestLines(
  { task, examples }: LoadedTask,
  encoder?: Encoder,
): AsyncGenerator<Doc> {
  const remembering = encoder && rememberingEncoder(encoder);
  for (const { docId, question, requests } of examples) {
    const contexts = requests.map(({ context }) => context);
    const continuations = requests.map(({ continuation }) => continuation);
    const differ = question.contexts.length > 1;
    const texts = differ
      ? { contexts, continuation: continuations[0] }
      : { ctx: contexts[0], continuations };
    const line: Doc = { task: task.name, doc_id: docId, ...texts, gold: question.gold };
    if (!remembering) {
      yield line;
      continue;
    }
    const encoded = [];
    for (const request of requests) encoded.push(await encodeRequest(request, remembering));
    yield {
      ...line,
      context_ids: differ ? encoded.map((r) => r.contextIds) : encoded[0]?.contextIds,
      continuation_ids: encoded.map((r) => r.continuationIds),
    };
  }
}

/**
 * A task's answers from request lines with `loglikelihoods` and `is_greedy`, in any order.
 *
 * @param examples of the task's documents, if available; else the lines suffice
 * @throws EvaluationError for an incomplete line, or a document without a line
 */
export function readResponses(
  lines: readonly Doc[],
  task: Task,
  loaded?: LoadedTask,
): { loaded: LoadedTask; responses: Loglikelihood[][] } {
  const own = lines.filter((line) => line.task === undefined || line.task === task.name);
  const byId = new Map(own.map((line, i) => [docIdOf(line, i), line]));
  if (own.length === 0)
    throw new EvaluationError(`--responses: no line belongs to the task ${task.name}`);
  if (byId.size < own.length) {
    throw new EvaluationError(
      `--responses: a doc_id of ${task.name} occurs twice; if several tasks share a file, each line needs a field 'task'`,
    );
  }
  const complete = loaded ?? loadedFromLines(task, byId);
  const responses = complete.examples.map(({ docId, question }) => {
    const line = byId.get(docId);
    const where = `--responses: ${task.name}, document ${docId}`;
    if (!line) throw new EvaluationError(`${where}: there is no line with this doc_id`);
    return responsesOf(line, question.choices.length, where);
  });
  return { loaded: complete, responses };
}

function docIdOf({ doc_id }: Doc, index: number): number {
  return typeof doc_id === 'number' ? doc_id : index;
}

function responsesOf(line: Doc, count: number, where: string): Loglikelihood[] {
  const { loglikelihoods, is_greedy = [] } = line;
  if (!Array.isArray(loglikelihoods) || loglikelihoods.length !== count) {
    const found = Array.isArray(loglikelihoods) ? String(loglikelihoods.length) : 'none';
    throw new EvaluationError(`${where}: expected ${count} loglikelihoods, found ${found}`);
  }
  return loglikelihoods.map((value: unknown, i) => ({
    loglikelihood: numberOf(value, where),
    isGreedy: Array.isArray(is_greedy) && is_greedy[i] === true,
  }));
}

/** JSON has no infinities: null stands for NaN, strings for infinities. */
function numberOf(value: unknown, where: string): number {
  if (typeof value === 'number') return value;
  if (value === null) return Number.NaN;
  const known = ['NaN', 'Infinity', '-Infinity'].find((name) => name === value);
  if (known !== undefined) return Number(known);
  throw new EvaluationError(`${where}: not a log-likelihood: ${JSON.stringify(value)}`);
}

function loadedFromLines(task: Task, lines: ReadonlyMap<number, Doc>): LoadedTask {
  const examples = [...lines]
    .toSorted(([a], [b]) => a - b)
    .map(([docId, line]) => {
      const question = questionOf(line);
      return {
        docId,
        doc: line,
        question,
        requests: question.continuations.map((continuation, i) => ({
          context: question.contexts[i] ?? question.contexts[0] ?? '',
          continuation,
        })),
      };
    });
  return { task, numFewshot: task.numFewshot, examples, originalCount: examples.length };
}

function questionOf(line: Doc): Question {
  const { ctx, continuation, gold } = line;
  if (typeof gold !== 'number') {
    throw new EvaluationError("--responses: a line has no 'gold'; pass the documents with --docs");
  }
  const contexts = typeof ctx === 'string' ? [ctx] : textsOf(line, 'contexts');
  const continuations =
    typeof continuation === 'string'
      ? contexts.map(() => continuation)
      : textsOf(line, 'continuations');
  // A choice is a continuation without its leading space.
  const choices =
    line.choices === undefined
      ? continuations.map((text) => text.replace(/^ /, ''))
      : textsOf(line, 'choices');
  const target = typeof line.target === 'string' ? line.target : String(gold);
  return { contexts, choices, continuations, gold, target };
}
