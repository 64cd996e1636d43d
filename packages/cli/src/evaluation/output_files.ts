// Writes the results of an evaluation: JSON, samples, table and chart.
import { join } from 'node:path';
import { writeFileAtomically } from '@rene-js/rene/internal';
import { isOnCard } from './card_scores.js';
import { evaluationChart } from './chart.js';
import type { Evaluation } from './evaluate.js';
import { cardTable } from './report.js';
import { type RunInfo, resultsJson, sampleJson, sanitizeName } from './results.js';
import { resultsTable } from './results_table.js';

export interface OutputOptions {
  /** The run's folder. Files are written to a subfolder named after the model, as in lm-eval. */
  outputPath: string;
  logSamples: boolean;
}

/** @returns the written paths, the results file first */
export async function writeEvaluation(
  evaluation: Evaluation,
  info: RunInfo,
  { outputPath, logSamples }: OutputOptions,
): Promise<string[]> {
  const dir = join(outputPath, sanitizeName(info.modelName));
  const id = dateId(new Date(info.date * 1000));
  const files = new Map<string, string>();
  const results = JSON.stringify(resultsJson(evaluation, info), null, 2);
  files.set(join(dir, `results_${id}.json`), results);
  if (logSamples) {
    for (const result of evaluation.tasks) {
      const lines = result.samples.map((sample) => JSON.stringify(sampleJson(result, sample)));
      files.set(join(dir, `samples_${result.task.name}_${id}.jsonl`), `${lines.join('\n')}\n`);
    }
  }
  const { modelName, documents } = info;
  const tables = [resultsTable(evaluation)];
  if (isOnCard(evaluation)) tables.push(cardTable(evaluation, modelName, documents));
  files.set(join(dir, `table_${id}.md`), tables.join('\n'));
  files.set(join(dir, `chart_${id}.svg`), evaluationChart(evaluation, modelName, documents));
  for (const [path, text] of files) await writeText(path, text);
  return [...files.keys()];
}

async function writeText(path: string, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  await writeFileAtomically(path, (put) => put(bytes));
}

/** Local time in lm-eval's format: 2026-01-31T12-34-56.789000. */
function dateId(date: Date): string {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().replace('Z', '000').replaceAll(':', '-');
}
