// Chart of an evaluation: the measured scores and those of the model card.
import { type DocumentsOption, measuredAverage, measuredScore, partOfCard } from './card_scores.js';
import type { Evaluation } from './evaluate.js';
import { CARD_COLUMNS, CARD_ROWS, RENE_CARD_NAME } from './model_card.js';

const WIDTH = 760;
const LEFT = 130;
const RIGHT = 30;
const TOP = 64;
const ROW = 34;
const GREY = '#b6bcc6';
const CARD = '#2458c5';
const MEASURED = '#d9480f';

/**
 * An SVG image. Other models are drawn if the run is comparable.
 *
 * @param documents source of the documents, if not the hub
 */
export function evaluationChart(
  evaluation: Evaluation,
  modelName: string,
  documents?: DocumentsOption,
): string {
  const part = partOfCard(evaluation, documents);
  const cardRows = part === undefined ? CARD_ROWS : [];
  const rows = [
    ...CARD_COLUMNS.map((column, i) => {
      const score = measuredScore(evaluation, column);
      return {
        title: column.title,
        card: cardRows.map(({ model, scores }) => ({ model, score: scores[i] ?? 0 })),
        mean: score?.estimate.mean,
        stderr: score?.estimate.stderr ?? 0,
      };
    }),
    {
      title: 'Average',
      card: cardRows.map(({ model, average }) => ({ model, score: average })),
      mean: measuredAverage(evaluation),
      stderr: 0,
    },
  ];
  const height = TOP + rows.length * ROW + 40;
  const body = rows.map((row, i) => drawRow(row, TOP + (i + 0.5) * ROW)).join('\n');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#1f2430">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${legend(modelName, part)}
${axis(TOP, height - 34)}
${body}
</svg>
`;
}

interface ChartRow {
  title: string;
  card: readonly { model: string; score: number }[];
  /** 0 to 1; undefined where it was not measured. */
  mean: number | undefined;
  stderr: number;
}

function drawRow({ title, card, mean, stderr }: ChartRow, y: number): string {
  const others = card.map(({ model, score }) =>
    model === RENE_CARD_NAME
      ? `<circle cx="${x(score)}" cy="${y}" r="6" fill="none" stroke="${CARD}" stroke-width="2"><title>${escapeXml(model)}: ${score}</title></circle>`
      : `<circle cx="${x(score)}" cy="${y}" r="4" fill="${GREY}"><title>${escapeXml(model)}: ${score}</title></circle>`,
  );
  const label = `<text x="${LEFT - 12}" y="${y + 4}" text-anchor="end">${title}</text>`;
  if (mean === undefined) return [label, ...others].join('\n');
  const score = 100 * mean;
  const range = `<line x1="${x(score - 100 * stderr)}" x2="${x(score + 100 * stderr)}" y1="${y}" y2="${y}" stroke="${MEASURED}" stroke-width="2"/>`;
  const mark = `<rect x="${x(score) - 5}" y="${y - 5}" width="10" height="10" fill="${MEASURED}"><title>measured: ${score.toFixed(1)}</title></rect>`;
  const value = `<text x="${x(score)}" y="${y - 9}" text-anchor="middle" font-size="11" fill="${MEASURED}">${score.toFixed(1)}</text>`;
  return [label, ...others, range, mark, value].join('\n');
}

function legend(modelName: string, part: string | undefined): string {
  const measured = part === undefined ? 'measured' : `measured on ${part}`;
  const card = [
    `<circle cx="${LEFT + 365}" cy="38" r="6" fill="none" stroke="${CARD}" stroke-width="2"/>`,
    `<text x="${LEFT + 377}" y="42">Rene 1.3B, card</text>`,
    `<circle cx="${LEFT + 495}" cy="38" r="4" fill="${GREY}"/>`,
    `<text x="${LEFT + 505}" y="42">others, card</text>`,
  ];
  return [
    `<text x="16" y="22" font-size="15" font-weight="600">Accuracy, per cent</text>`,
    `<rect x="${LEFT}" y="33" width="10" height="10" fill="${MEASURED}"/>`,
    `<text x="${LEFT + 16}" y="42">${escapeXml(shorten(modelName))}, ${measured} (± standard error)</text>`,
    ...(part === undefined ? card : []),
  ].join('\n');
}

function axis(top: number, bottom: number): string {
  return [0, 20, 40, 60, 80, 100]
    .map(
      (score) =>
        `<line x1="${x(score)}" x2="${x(score)}" y1="${top}" y2="${bottom}" stroke="#e6e8ec"/>` +
        `<text x="${x(score)}" y="${bottom + 18}" text-anchor="middle" fill="#666">${score}</text>`,
    )
    .join('\n');
}

function x(score: number): number {
  const share = Math.min(Math.max(score, 0), 100) / 100;
  return Number((LEFT + share * (WIDTH - LEFT - RIGHT)).toFixed(1));
}

function shorten(name: string): string {
  return name.length > 34 ? `…${name.slice(-33)}` : name;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
