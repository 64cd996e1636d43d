/**
 * Evaluation on the tasks of lm-evaluation-harness or your own, and perplexity.
 *
 * @module @rene-js/cli/evaluation
 */
export type { DocumentsOption } from './card_scores.js';
export { evaluationChart } from './chart.js';
export { type CustomTask, readCustomTask, withCustomTasks } from './custom_task.js';
export { type DocSource, fileDocs, folderDocs, type TaskDocs } from './data/documents.js';
export { type HubDocsOptions, hubDocs } from './data/hub_docs.js';
export { EvaluationError } from './errors.js';
export {
  type EvaluateOptions,
  type Evaluation,
  type EvaluationProgress,
  evaluate,
  type GroupResult,
  type Sample,
  type TaskResult,
} from './evaluate.js';
export type { EvaluationModel, ScoreOptions } from './evaluation_model.js';
export type { Estimate, Loglikelihood } from './metrics.js';
export { writeEvaluation } from './output_files.js';
export { type Perplexity, type PerplexityOptions, perplexity } from './perplexity.js';
export { cardTable } from './report.js';
export type { TextRequest, TokenRequest } from './requests.js';
export { ResultCache } from './result_cache.js';
export { type RunInfo, resultsJson } from './results.js';
export { resultsTable } from './results_table.js';
export { ReneScorer, type ReneScorerOptions } from './scoring/rene_scorer.js';
export type { DatasetLocation, Doc, MetricName, Question, Task } from './task.js';
export { type Group, type Selection, selectTasks } from './tasks/index.js';
