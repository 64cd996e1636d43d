// Documents from CSV and TSV files.
import { CsvError, parse } from 'csv-parse/sync';
import { EvaluationError } from '../errors.js';
import type { Doc } from '../task.js';

/**
 * The rows as documents of strings, with names from the first row. MMLU's original files have no header:
 * their columns are question, A, B, C, D and answer.
 *
 * @param where named in errors
 * @throws EvaluationError naming the malformed row
 */
export function parseCsv(text: string, where: string): Doc[] {
  const table = parsed(text, where);
  const [first = [], ...rest] = table;
  const isBare = table.every((cells) => cells.length === 6 && /^[A-D]$/.test(cells[5] ?? ''));
  const header = isBare ? ['question', 'A', 'B', 'C', 'D', 'answer'] : first;
  const rows = isBare ? table : rest;
  return rows.map((cells, i) => {
    if (cells.length !== header.length) {
      const row = isBare ? i + 1 : i + 2;
      throw new EvaluationError(
        `${where}, row ${row}: expected ${header.length} cells, found ${cells.length}`,
      );
    }
    const entries = header.map((name, column): [string, string] => [name, cells[column] ?? '']);
    // The index column of a table written by pandas.
    return Object.fromEntries(entries.filter(([name]) => name !== '' && name !== 'Unnamed: 0'));
  });
}

function parsed(text: string, where: string): string[][] {
  const delimiter = delimiterOf(text, where);
  try {
    return parse(text, { delimiter, skip_empty_lines: true, relax_column_count: true });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new EvaluationError(`${where}: not CSV: ${error.message}`, { cause: error });
  }
}

/** Tabs in .tsv files; else the first of comma, semicolon and tab in the first line. */
function delimiterOf(text: string, where: string): string {
  if (/\.tsv(\.gz)?$/i.test(where)) return '\t';
  const [line = ''] = text.split('\n', 1);
  return [',', ';', '\t'].find((delimiter) => line.includes(delimiter)) ?? ',';
}
