// Reads JSONL files, with errors that name the line.
import { readFile } from 'node:fs/promises';
import { parseJson, systemReason } from '@rene-js/rene/internal';
import { EvaluationError } from './errors.js';
import { type Doc, isDoc } from './task.js';

/** The objects of a JSONL file, or of a JSON file that holds a list or one. @throws EvaluationError */
export async function readRecords(path: string): Promise<Doc[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new EvaluationError(`${path}: cannot be read: ${systemReason(error)}`, { cause: error });
  });
  return parseRecords(text, path);
}

/** Like readRecords, for text in memory. */
export function parseRecords(text: string, where: string): Doc[] {
  const body = text.replace(/^\ufeff/, '');
  if (body.trimStart().startsWith('[')) {
    const list = parsed(body, where);
    if (!Array.isArray(list)) throw new EvaluationError(`${where}: expected a list of documents`);
    return list.map((value, i) => record(value, `${where}, item ${i}`));
  }
  const whole = spreadObject(body);
  if (whole) return [whole];
  return body
    .split(/\r?\n/)
    .map((line, i): [string, number] => [line, i + 1])
    .filter(([line]) => line.trim() !== '')
    .map(([line, number]) => record(parsed(line, `${where}:${number}`), `${where}:${number}`));
}

/** The object of a file with one object over several lines; undefined for other files. */
function spreadObject(text: string): Doc | undefined {
  const [first = ''] = text.trimStart().split(/\r?\n/, 1);
  if (!first.startsWith('{') || first.length === text.trim().length) return undefined;
  try {
    parseJson(first);
    return undefined;
  } catch {
    // The first line is not JSON; the whole file may be.
  }
  try {
    const value = parseJson(text);
    return isDoc(value) ? value : undefined;
  } catch {
    return undefined; // readRecords reports the invalid line
  }
}

function parsed(text: string, where: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new EvaluationError(`${where}: not JSON: ${why}`, { cause: error });
  }
}

function record(value: unknown, where: string): Doc {
  if (isDoc(value)) return value;
  throw new EvaluationError(`${where}: expected an object, found ${JSON.stringify(value)}`);
}
