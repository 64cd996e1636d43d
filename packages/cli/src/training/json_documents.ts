// Reads documents from JSON lines, or from a JSON file with a list of objects.
import { asRecord, parseJson, readLines, readText } from '@rene-js/rene/internal';
import { TrainingError } from '@rene-js/rene/training';

/** The field of each line's object. @throws TrainingError with the line number */
export async function readJsonLines(path: string, field: string): Promise<string[]> {
  const documents: string[] = [];
  let number = 0;
  for await (const line of readLines(path)) {
    number++;
    if (line.trim() === '') continue;
    documents.push(documentOf(parsed(line, `${path}:${number}`), field, `${path}:${number}`));
  }
  return documents;
}

/** The field of each object of the list. @throws TrainingError with the index */
export async function readJsonDocuments(path: string, field: string): Promise<string[]> {
  const list = parsed(await wholeText(path), path);
  if (Array.isArray(list)) {
    return list.map((value, i) => documentOf(value, field, `${path}, item ${i}`));
  }
  throw new TrainingError(
    `${path}: expected a list of objects, or one object per line, found another JSON value. Give ` +
      '--data-format text to train on the lines as they are',
  );
}

/** Whether the whole file is one JSON list or object. */
export async function isJsonFile(path: string): Promise<boolean> {
  try {
    const value: unknown = JSON.parse(await wholeText(path));
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
  }
}

async function wholeText(path: string): Promise<string> {
  const pieces: string[] = [];
  for await (const piece of readText(path)) pieces.push(piece);
  return pieces.join('');
}

function parsed(text: string, where: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TrainingError(
      `${where}: not JSON: ${why}. If the file is plain text, give --data-format text`,
      { cause: error },
    );
  }
}

function documentOf(value: unknown, field: string, where: string): string {
  const record = asRecord(value);
  const text = record?.[field];
  if (typeof text === 'string') return text;
  if (text === null) return '';
  const found = record ? fieldsOf(record, field) : 'a value that is not an object';
  throw new TrainingError(
    `${where}: expected an object with a text field "${field}", found ${found}. Name another field ` +
      'with --text-field, or give --data-format text to train on the lines as they are',
  );
}

function fieldsOf(record: Record<string, unknown>, field: string): string {
  const names = Object.keys(record).slice(0, 10);
  if (field in record) return `"${field}" of another type`;
  return names.length === 0 ? 'no field' : `the fields ${names.map((n) => `"${n}"`).join(', ')}`;
}
