// The scores of a run for the model card's columns, and whether they are comparable.
import type { Evaluation } from './evaluate.js';
import type { Estimate } from './metrics.js';
import { CARD_COLUMNS, type CardColumn } from './model_card.js';

/** The metrics that can fill a column of the card; undefined if it was not run. */
export interface MeasuredScore {
  estimate: Estimate;
  numFewshot: number;
}

export function measuredScore(
  { tasks, groups }: Evaluation,
  { name, metric }: CardColumn,
): MeasuredScore | undefined {
  const task = tasks.find((result) => result.task.name === name);
  const group = groups.find((result) => result.group.name === name);
  const estimate = (task ?? group)?.estimates[metric];
  const member = task ?? tasks.find((result) => result.task.name.startsWith(`${name}_`));
  return estimate && member && { estimate, numFewshot: member.numFewshot };
}

/** The mean of all eight columns; undefined unless all were measured. */
export function measuredAverage(evaluation: Evaluation): number | undefined {
  const scores = CARD_COLUMNS.map((column) => measuredScore(evaluation, column));
  const means = scores.flatMap((score) => (score ? [score.estimate.mean] : []));
  if (means.length < CARD_COLUMNS.length) return undefined;
  return means.reduce((sum, mean) => sum + mean, 0) / means.length;
}

/** Whether any column of the card was measured. */
export function isOnCard(evaluation: Evaluation): boolean {
  return CARD_COLUMNS.some((column) => measuredScore(evaluation, column));
}

/** Source of the documents, if not the hub. */
export type DocumentsOption = '--docs' | '--data_dir' | '--responses';

/**
 * Why a run is not comparable with the card; undefined if it is.
 *
 * @param documents source of the documents, if not the hub
 */
export function partOfCard(
  evaluation: Evaluation,
  documents?: DocumentsOption,
): string | undefined {
  if (documents === '--docs') return 'documents of --docs';
  for (const column of CARD_COLUMNS) {
    if (!measuredScore(evaluation, column)) continue;
    const { name } = column;
    const own = evaluation.tasks.filter(
      ({ task }) => task.name === name || task.name.startsWith(`${name}_`),
    );
    const used = own.reduce((sum, { samples }) => sum + samples.length, 0);
    const all = own.reduce((sum, { originalCount }) => sum + originalCount, 0);
    if (used < all) return 'part of the documents';
    if (documents !== undefined && used !== column.documents) return `documents of ${documents}`;
  }
  return undefined;
}
