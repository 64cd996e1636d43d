// What a multiple-choice task is: where its documents are, and how a document becomes questions.
import { EvaluationError } from './errors.js';

/** A document as the data set has it. */
export type Doc = Readonly<Record<string, unknown>>;

/** Accuracy by log-likelihood, and by log-likelihood a character of the choice. */
export type MetricName = 'acc' | 'acc_norm';

/** Where a task's documents lie on the Hugging Face hub. */
export interface DatasetLocation {
  /** The repository, e.g. 'allenai/ai2_arc'. */
  path: string;
  /** The subset, e.g. 'ARC-Easy'; null where there is one only. */
  name: string | null;
  /** Names of the splits that there are. The test split is evaluated, else the validation split. */
  training?: string;
  validation?: string;
  test?: string;
  /** The split of the few-shot examples. Default: the training split. */
  fewshot?: string;
}

/** The split that is evaluated. */
export function evaluatedSplit({ test, validation }: DatasetLocation): string {
  return test ?? validation ?? 'test';
}

/** The split that examples come from; undefined where there is none. */
export function exampleSplit({ fewshot, training }: DatasetLocation): string | undefined {
  return fewshot ?? training;
}

/** A document, read by its task. */
export interface Question {
  /** The text before every choice; one a choice where they differ (WinoGrande). */
  contexts: readonly string[];
  /** The choices as the metrics measure them, without the space before them. */
  choices: readonly string[];
  /** What is scored after each context: ' ' + choice unless the task says otherwise. */
  continuations: readonly string[];
  /** Index of the right choice. */
  gold: number;
  /** The right answer as the harness logs it. */
  target: string;
}

/** How a task reads its documents, as the harness's results files say it. */
export interface Templates {
  docToText: string;
  docToTarget: string;
  docToChoice: string | readonly string[];
  /** What would be looked for in training data; none unless given. */
  decontamination?: string;
}

/** A multiple-choice task. */
export interface Task {
  name: string;
  /** Shown in tables; the name unless given. */
  alias?: string;
  version: number;
  dataset: DatasetLocation;
  metrics: readonly MetricName[];
  /** Put before everything else. */
  description: string;
  /** Examples before the question, unless the caller asks for another number. */
  numFewshot: number;
  /** How few-shot examples are chosen. Default: drawn for each document by the seed. */
  sampler?: 'first_n';
  /**
   * The document in the hub's form, from other forms of the data set, with what the task adds to it.
   * Called before `question`; samples files show the result.
   *
   * @throws EvaluationError when the document lacks something.
   */
  process?(doc: Doc): Doc;
  /** @throws EvaluationError when the document lacks something. */
  question(doc: Doc): Question;
  /** The harness's description of the task, for the results file. */
  templates: Templates;
}

/** The question that most tasks ask: one context, and a space before each choice. */
export function oneContext(
  context: string,
  choices: readonly string[],
  gold: number,
  target: string,
): Question {
  checkGold(gold, choices.length);
  return {
    contexts: [context],
    choices,
    continuations: choices.map((choice) => ` ${choice}`),
    gold,
    target,
  };
}

export function checkGold(gold: number, count: number): void {
  if (Number.isInteger(gold) && gold >= 0 && gold < count) return;
  const hint = gold === -1 ? ': the document has no label, as those of some test splits' : '';
  throw new EvaluationError(
    `the right answer must be one of ${count} choices, found ${gold}${hint}`,
  );
}

export function isDoc(value: unknown): value is Doc {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
