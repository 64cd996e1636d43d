// Reads documents from a column of a CSV or Parquet file.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { readLines, readText, systemReason } from '@rene-js/rene/internal';
import { TrainingError } from '@rene-js/rene/training';
import { CsvError, parse } from 'csv-parse';
import {
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

/** A column of a CSV file whose first row names the columns. @throws TrainingError */
export async function readCsv(path: string, column: string): Promise<string[]> {
  const parser = parse({ delimiter: await delimiterOf(path), skip_empty_lines: true });
  // Errors surface in the loop below.
  const fed = pipeline(Readable.from(readText(path)), parser).catch(() => {});
  const documents: string[] = [];
  let at: number | undefined;
  try {
    for await (const record of parser) {
      const row: readonly string[] = record;
      if (at === undefined) at = indexOf(row, column, path);
      else documents.push(row[at] ?? '');
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new TrainingError(`${path}: not CSV: ${error.message}`, { cause: error });
  }
  await fed;
  return documents;
}

/** The most frequent separator in the header row. */
async function delimiterOf(path: string): Promise<string> {
  for await (const line of readLines(path)) {
    const counts = [',', ';', '\t', '|'].map((d): [string, number] => [d, line.split(d).length]);
    return counts.reduce((best, next) => (next[1] > best[1] ? next : best))[0];
  }
  return ',';
}

/** A text column of a Parquet file. @throws TrainingError */
export async function readParquetColumn(path: string, column: string): Promise<string[]> {
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    const names = parquetSchema(metadata).children.map(({ element }) => element.name);
    indexOf(names, column, path);
    const rows = await parquetReadObjects({ file, metadata, compressors, columns: [column] });
    return rows.map((row, i) => {
      const text: unknown = row[column];
      if (typeof text === 'string') return text;
      if (text === null || text === undefined) return '';
      throw new TrainingError(
        `${path}, row ${i}: expected text in the column "${column}", found a value of type ${typeof text}`,
      );
    });
  } catch (error) {
    if (error instanceof TrainingError) throw error;
    throw new TrainingError(`${path}: cannot be read as Parquet: ${systemReason(error)}`, {
      cause: error,
    });
  }
}

function indexOf(names: readonly string[], column: string, path: string): number {
  const at = names.indexOf(column);
  if (at >= 0) return at;
  const found = names.slice(0, 10).map((name) => `"${name.slice(0, 40)}"`);
  throw new TrainingError(
    `${path}: expected a column "${column}", found ${found.join(', ')}. Name another column with --text-field`,
  );
}
