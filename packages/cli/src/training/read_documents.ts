// Training documents from a file: lines of text, JSON lines, CSV or Parquet.
import { extname } from 'node:path';
import { isParquet, readLines } from '@rene-js/rene/internal';
import { TrainingError } from '@rene-js/rene/training';
import type { DocumentFormat } from './document_formats.js';
import { isJsonFile, readJsonDocuments, readJsonLines } from './json_documents.js';
import { readCsv, readParquetColumn } from './table_documents.js';

/** Options for reading documents. */
export interface ReadDocumentsOptions {
  /**
   * - 'text': each line is a document.
   * - 'jsonl': each line is an object.
   * - 'json': the file is a list of objects.
   * - 'csv': a table whose first row has the column names; columns are separated by comma, semicolon, tab or
   * |.
   * - 'parquet': a table.
   *
   * Default: 'auto', which uses the file's extension and first bytes: a file of JSON objects, one per line,
   * is 'jsonl' under any name, and a JSON list is 'json'.
   */
  format?: DocumentFormat;
  /** Field or column that contains the document. Default: 'text'. */
  textField?: string;
}

/**
 * Reads documents. Empty documents and null fields are skipped. Text is UTF-8, or UTF-16 or UTF-32 with a
 * byte order mark.
 *
 * @throws TrainingError with the line or the format that cannot be read
 */
export async function readDocuments(
  path: string,
  { format = 'auto', textField = 'text' }: ReadDocumentsOptions = {},
): Promise<string[]> {
  const documents = await readFormat(
    path,
    format === 'auto' ? await guess(path) : format,
    textField,
  );
  const filled = documents.filter((document) => document !== '');
  if (filled.length > 0) return filled;
  throw new TrainingError(`${path}: expected at least one document, found no text`);
}

async function readFormat(
  path: string,
  format: DocumentFormat,
  textField: string,
): Promise<string[]> {
  switch (format) {
    case 'jsonl':
      return readJsonLines(path, textField);
    case 'json':
      return readJsonDocuments(path, textField);
    case 'csv':
      return readCsv(path, textField);
    case 'parquet':
      return readParquetColumn(path, textField);
    default:
      return collect(readLines(path));
  }
}

const byExtension: Readonly<Record<string, DocumentFormat>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.json': 'json',
  '.csv': 'csv',
  '.tsv': 'csv',
  '.parquet': 'parquet',
};

async function guess(path: string): Promise<DocumentFormat> {
  if (await isParquet(path)) return 'parquet';
  const format = byExtension[extname(path).toLowerCase()] ?? 'text';
  if (format !== 'text' && format !== 'json') return format;
  const first = await firstLine(path);
  if (isJsonObject(first)) return 'jsonl';
  const isJson = format === 'json' || (/^\s*[[{]/.test(first) && (await isJsonFile(path)));
  return isJson ? 'json' : 'text';
}

async function firstLine(path: string): Promise<string> {
  for await (const line of readLines(path)) if (line.trim() !== '') return line;
  return '';
}

function isJsonObject(line: string): boolean {
  if (!line.trimStart().startsWith('{')) return false;
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

async function collect(lines: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
}
