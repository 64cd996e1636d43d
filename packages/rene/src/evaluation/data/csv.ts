// Documents from CSV and TSV files.
import Papa from 'papaparse';
import { EvaluationError } from '../errors.js';
import type { Doc } from '../task.js';

/**
 * The rows as documents of strings, named by the first row. MMLU's original files have no header:
 * their six columns are question, A, B, C, D and answer.
 *
 * @param where named in errors
 * @throws EvaluationError naming the row that is malformed
 */
export function parseCsv(text: string, where: string): Doc[] {
  const { data, errors } = Papa.parse<string[]>(text, { skipEmptyLines: true });
  // Papaparse cannot guess the delimiter of a single column.
  const [error] = errors.filter(({ code }) => code !== 'UndetectableDelimiter');
  if (error) {
    throw new EvaluationError(`${where}, row ${(error.row ?? 0) + 1}: not CSV: ${error.message}`);
  }
  const [first = [], ...rest] = data;
  const isBare = data.every((cells) => cells.length === 6 && /^[A-D]$/.test(cells[5] ?? ''));
  const header = isBare ? ['question', 'A', 'B', 'C', 'D', 'answer'] : first;
  const rows = isBare ? data : rest;
  return rows.map((cells, i) => {
    if (cells.length !== header.length) {
      const row = isBare ? i + 1 : i + 2;
      throw new EvaluationError(
        `${where}, row ${row}: expected ${header.length} cells, found ${cells.length}`,
      );
    }
    const entries = header.map((name, column): [string, string] => [name, cells[column] ?? '']);
    // The first column of a table that pandas wrote with its index.
    return Object.fromEntries(entries.filter(([name]) => name !== '' && name !== 'Unnamed: 0'));
  });
}
