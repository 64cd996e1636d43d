// The interface of a multiple-choice task: its documents, and how they become questions.
import { EvaluationError } from './errors.js';

/** A document as in the data set. */
export type Doc = Readonly<Record<string, unknown>>;

/** Accuracy by log-likelihood, and by log-likelihood per character of the choice. */
export type MetricName = 'acc' | 'acc_norm';

/** Location of a task's documents on the Hugging Face hub. */
export interface DatasetLocation {
  /** The repository, such as 'allenai/ai2_arc'. */
  path: string;
  /** The subset, such as 'ARC-Easy'; null if there is only one. */
  name: string | null;
  /** Names of the existing splits. The test split is evaluated, else the validation split. */
  training?: string;
  validation?: string;
  test?: string;
  /** The split of the few-shot examples. Default: the training split. */
  fewshot?: string;
}

/** The evaluated split. */
export function evaluatedSplit({ test, validation }: DatasetLocation): string {
  return test ?? validation ?? 'test';
}

/** The split of the few-shot examples; undefined if there is none. */
export function exampleSplit({ fewshot, training }: DatasetLocation): string | undefined {
  return fewshot ?? training;
}

/** A parsed document. */
export interface Question {
  /** The context of all choices; one per choice if they differ (WinoGrande). */
  contexts: readonly string[];
  /** The choices without leading space, for the metrics. */
  choices: readonly string[];
  /** The continuation after each context. Default: ' ' + choice. */
  continuations: readonly string[];
  /** Index of the correct choice. */
  gold: number;
  /** The correct answer in lm-eval's logs. */
  target: string;
}

/** lm-eval's description of how a task reads its documents, for results files. */
export interface Templates {
  docToText: string;
  docToTarget: string;
  docToChoice: string | readonly string[];
  /** lm-eval's decontamination query. Default: none. */
  decontamination?: string;
}

/** A multiple-choice task. */
export interface Task {
  name: string;
  /** Name in tables. Default: the task's name. */
  alias?: string;
  version: number;
  dataset: DatasetLocation;
  metrics: readonly MetricName[];
  /** Text before everything else. */
  description: string;
  /** Default number of few-shot examples. */
  numFewshot: number;
  /** How few-shot examples are chosen. Default: randomly for each document, by seed. */
  sampler?: 'first_n';
  /**
   * Converts other formats of the data set to the hub's and adds the task's fields. Called before
   * `question`; samples files contain the result.
   *
   * @throws EvaluationError if the document is incomplete
   */
  process?(doc: Doc): Doc;
  /** @throws EvaluationError if the document is incomplete */
  question(doc: Doc): Question;
  /** lm-eval's description of the task, for results files. */
  templates: Templates;
}

/** The question of most tasks: one context, and a space before each choice. */
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
