// Samplers of few-shot examples as in lm-evaluation-harness: random by seed, or the first ones.
import { isDeepStrictEqual } from 'node:util';
import { EvaluationError } from '../errors.js';
import { type Doc, exampleSplit, type Task } from '../task.js';
import { PythonRandom } from './python_random.js';

export interface SamplerOptions {
  /** Number of examples per question. */
  numFewshot: number;
  /** Documents from which to draw. */
  fewshotDocs: readonly Doc[];
  /** A safe integer. */
  seed: number;
}

/**
 * Returns a function that draws a document's examples. Call it once per document, in order: each draw
 * advances the random state.
 *
 * @throws EvaluationError if there are too few documents
 */
export function exampleSampler(
  task: Task,
  { numFewshot, fewshotDocs, seed }: SamplerOptions,
): (doc: Doc) => readonly Doc[] {
  if (numFewshot === 0) return () => [];
  const random = new PythonRandom(seed);
  const isFirst = task.sampler === 'first_n';
  const draw = (pool: readonly Doc[], count: number): readonly Doc[] => {
    if (pool.length < count) throw tooFew(task, count, pool.length);
    return isFirst ? pool.slice(0, count) : random.sample(pool, count);
  };
  if (!excludesDocument(task)) return () => draw(fewshotDocs, numFewshot);
  return (doc) => {
    const others = (examples: readonly Doc[]) =>
      examples.filter((example) => !isDeepStrictEqual(example, doc));
    // One more than needed, since the document may be among them.
    const drawn = isFirst ? [] : others(draw(fewshotDocs, numFewshot + 1));
    if (drawn.length >= numFewshot) return drawn.slice(0, numFewshot);
    return draw(others(fewshotDocs), numFewshot);
  };
}

/**
 * Whether to exclude the document from its own examples. lm-eval compares the names of few-shot and test
 * split, which are both absent for tasks evaluated on the validation split.
 */
function excludesDocument({ dataset }: Task): boolean {
  return dataset.fewshot === dataset.test;
}

function tooFew(task: Task, expected: number, found: number): EvaluationError {
  const split = exampleSplit(task.dataset) ?? 'fewshot';
  return new EvaluationError(
    `${task.name}: expected ${expected} documents as examples (--num_fewshot), found ${found}; ` +
      `give them with --fewshot_docs FILE, or as ${task.name}/${split}.jsonl in --data_dir`,
  );
}
