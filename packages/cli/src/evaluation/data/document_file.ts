// Reads documents from a file: JSONL, JSON, CSV, TSV or Parquet, plain or gzipped.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { fileExists, systemReason } from '@rene-js/rene/internal';
import { EvaluationError } from '../errors.js';
import { parseRecords } from '../jsonl.js';
import { type Doc, isDoc } from '../task.js';
import { parseCsv } from './csv.js';
import { readParquet } from './parquet.js';

/**
 * The documents of a file. A record may contain its document as `doc` (samples files) or as `row` (Hugging
 * Face's datasets-server). Labels of PIQA and WinoGrande that are missing in a file are read from
 * NAME-labels.lst in the same folder.
 *
 * @throws EvaluationError
 */
export async function readDocuments(path: string): Promise<Doc[]> {
  const records = await recordsOf(await readBytes(path), path);
  const docs = records.flatMap((record, i) => unwrap(record, `${path}, record ${i}`));
  return withLabels(docs, path.replace(/\.[^./\\]*$/, '-labels.lst'));
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    const bytes = await readFile(path);
    return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
  } catch (error) {
    throw new EvaluationError(`${path}: cannot be read: ${systemReason(error)}`, { cause: error });
  }
}

async function recordsOf(bytes: Buffer, path: string): Promise<Doc[]> {
  const magic = bytes.toString('latin1', 0, 6);
  if (magic.startsWith('PAR1') || path.endsWith('.parquet')) {
    const buffer = new ArrayBuffer(bytes.byteLength);
    new Uint8Array(buffer).set(bytes);
    return readParquet(buffer, path);
  }
  if (magic.startsWith('PK') || magic === 'ARROW1') {
    throw new EvaluationError(
      `${path}: expected JSONL, JSON, CSV, TSV or Parquet, found ` +
        `${magic === 'ARROW1' ? 'an Arrow file' : 'a zip archive'}`,
    );
  }
  const text = decoded(bytes, path);
  const isTable = /\.[ct]sv(\.gz)?$/i.test(basename(path));
  return isTable ? parseCsv(text, path) : parseRecords(text, path);
}

/** Text without a byte order mark. */
function decoded(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new EvaluationError(`${path}: expected UTF-8 text, found another encoding`, {
      cause: error,
    });
  }
}

function unwrap(record: Doc, where: string): Doc[] {
  const { rows, row, doc, truncated_cells: truncated } = record;
  if (Array.isArray(rows) && rows.every(isDoc)) {
    return rows.flatMap((item, i) => unwrap(item, `${where}, row ${i}`));
  }
  if (!isDoc(row)) return [isDoc(doc) ? doc : record];
  if (Array.isArray(truncated) && truncated.length > 0) {
    throw new EvaluationError(
      `${where}: datasets-server truncated the cells ${truncated.join(', ')}; use its /rows, which does not truncate`,
    );
  }
  return [row];
}

async function withLabels(docs: readonly Doc[], path: string): Promise<Doc[]> {
  const isLabelled = (doc: Doc) => ['label', 'answer', 'answerKey'].some((key) => key in doc);
  if (docs.some(isLabelled) || !(await fileExists(path))) return [...docs];
  const text = await readFile(path, 'utf8');
  const labels = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  if (labels.length !== docs.length) {
    throw new EvaluationError(
      `${path}: expected ${docs.length} labels, one per document, found ${labels.length}`,
    );
  }
  // WinoGrande's answers are 1 and 2, and are read from `answer`.
  return docs.map((doc, i) => ({ ...doc, ['sentence' in doc ? 'answer' : 'label']: labels[i] }));
}
