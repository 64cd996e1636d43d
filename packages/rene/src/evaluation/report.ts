// An evaluation as Markdown: the figures of each task, and a row beside those of the model card.
import type { Evaluation } from './evaluate.js';
import type { Estimate } from './metrics.js';
import { CARD_COLUMNS, CARD_ROWS, type CardColumn } from './model_card.js';

/** The figures that a column of the card can be filled with; undefined where it was not run. */
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

/** The mean over all eight columns; undefined unless all were measured. */
export function measuredAverage(evaluation: Evaluation): number | undefined {
  const scores = CARD_COLUMNS.map((column) => measuredScore(evaluation, column));
  const means = scores.flatMap((score) => (score ? [score.estimate.mean] : []));
  if (means.length < CARD_COLUMNS.length) return undefined;
  return means.reduce((sum, mean) => sum + mean, 0) / means.length;
}

/** Every task and group with every metric, as the harness prints them. */
export function resultsTable({ tasks, groups }: Evaluation): string {
  const rows = [
    ...tasks.map(({ task, numFewshot, estimates }) => ({
      cells: [task.name, String(task.version), String(numFewshot)],
      estimates,
    })),
    ...groups.map(({ group, estimates }) => ({
      cells: [`**${group.name}**`, group.version, ''],
      estimates,
    })),
  ].flatMap(({ cells, estimates }) =>
    Object.entries(estimates).map(([metric, { mean, stderr, count }]) => [
      ...cells,
      metric,
      mean.toFixed(4),
      stderr === null ? 'N/A' : stderr.toFixed(4),
      String(count),
    ]),
  );
  const header = ['Task', 'Version', 'n-shot', 'Metric', 'Value', 'Stderr', 'Documents'];
  return markdownTable(header, rows, 2);
}

/** The model card's rows and the one just measured. */
export function cardTable(evaluation: Evaluation, modelName: string): string {
  const titles = CARD_COLUMNS.map(({ title }) => title);
  const header = ['Model', 'Params (B)', 'Train tokens (T)', ...titles, 'Average'];
  const rows = CARD_ROWS.map(({ model, params, trainTokens, scores, average }) => [
    model,
    params.toFixed(1),
    trainTokens === null ? '' : decimals(trainTokens),
    ...scores.map((score) => score.toFixed(1)),
    average.toFixed(1),
  ]);
  const average = measuredAverage(evaluation);
  const cells = CARD_COLUMNS.map((column) => {
    const score = measuredScore(evaluation, column);
    if (!score) return '';
    const { estimate, numFewshot } = score;
    const percent = (100 * estimate.mean).toFixed(1);
    return numFewshot === column.numFewshot ? percent : `${percent} (${numFewshot}-shot)`;
  });
  const measured = [
    `**${modelName} (measured)**`,
    '',
    '',
    ...cells,
    average === undefined ? '' : (100 * average).toFixed(1),
  ];
  const table = markdownTable(header, [...rows, measured], 1);
  const about =
    `Per cent. The last row was measured here, the others are the model card's. ` +
    `Columns of the last row: ${CARD_COLUMNS.map(({ title, metric }) => `${title} ${metric}`).join(', ')}. ` +
    `The average is over all eight${average === undefined ? ', so it is left out' : ''}.`;
  return `${table}\n${about}\n`;
}

/** At least one decimal. */
function decimals(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** @param left so many columns are aligned to the left, the others to the right */
function markdownTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  left: number,
): string {
  const widths = header.map((title, i) =>
    Math.max(3, ...[header, ...rows].map((cells) => cells[i]?.length ?? title.length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells
      .map((cell, i) => (i < left ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join(' | ')} |`;
  const rule = widths.map((width, i) =>
    i < left ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return `${[line(header), line(rule), ...rows.map(line)].join('\n')}\n`;
}
