// Formats the measured scores as a row of the model card's table, in Markdown.
import { type DocumentsOption, measuredAverage, measuredScore, partOfCard } from './card_scores.js';
import type { Evaluation } from './evaluate.js';
import { CARD_COLUMNS, CARD_ROWS } from './model_card.js';

/**
 * The measured row, below the model card's rows if the run is comparable.
 *
 * @param documents source of the documents, if not the hub
 */
export function cardTable(
  evaluation: Evaluation,
  modelName: string,
  documents?: DocumentsOption,
): string {
  const part = partOfCard(evaluation, documents);
  const titles = CARD_COLUMNS.map(({ title }) => title);
  const header = ['Model', 'Params (B)', 'Train tokens (T)', ...titles, 'Average'];
  const cardRows = part === undefined ? CARD_ROWS : [];
  const rows = cardRows.map(({ model, params, trainTokens, scores, average }) => [
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
    `**${modelName} (measured${part === undefined ? '' : ` on ${part}`})**`,
    '',
    '',
    ...cells,
    average === undefined ? '' : (100 * average).toFixed(1),
  ];
  const table = markdownTable(header, [...rows, measured], 1);
  const metrics = CARD_COLUMNS.map(({ title, metric }) => `${title} ${metric}`).join(', ');
  const rowsShown =
    part === undefined
      ? "The last row was measured here, the others are the model card's."
      : `Measured on ${part}, so the model card's rows are left out.`;
  const about =
    `Per cent. ${rowsShown} Metrics of the measured row: ${metrics}. ` +
    `The average is over all eight${average === undefined ? ', so it is left out' : ''}.`;
  return `${table}\n${about}\n`;
}

/** At least one decimal. */
function decimals(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** @param left number of left-aligned columns */
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
