// The output of a batch: a line for each result, appended as soon as it is known.
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { asRecord, fileError, fileExists } from '@rene-js/rene/internal';
import { BatchError } from './batch_error.js';
import { type BatchLineError, ID_PREFIX } from './batch_line.js';
import { fileLines } from './file_lines.js';

/** The response of the server, as in OpenAI's result lines. */
export interface BatchResponse {
  status_code: number;
  request_id: string;
  /** The answer, or for other status codes than 200 an object with the field `error`. */
  body: unknown;
}

/** A result line. Either the response or the error is null. */
export interface BatchResult {
  id: string;
  custom_id: string | null;
  response: BatchResponse | null;
  error: BatchLineError | null;
}

/** The status code of an answer. Lines with others, and invalid ones, failed. */
export const OK = 200;

export class ResultFile {
  private constructor(
    private readonly path: string,
    private readonly file: number,
    /** Bytes of complete lines. */
    private size: number,
    /** Ids of the results in the file. */
    readonly done: ReadonlySet<string>,
    /** How many of them have no answer. */
    readonly failed: number,
  ) {}

  /**
   * Opens a file for the results of these lines, or creates it in an existing folder. A line that a killed run did not complete is
   * removed.
   *
   * @param expected the ids of all lines of the batch
   * @throws BatchError if the file holds anything else; FileError
   */
  static async open(path: string, expected: ReadonlySet<string>): Promise<ResultFile> {
    const done = new Set<string>();
    let failed = 0;
    let torn: number | undefined;
    if (await fileExists(path)) {
      for await (const { text, number, start, isWhole } of fileLines(path)) {
        if (!isWhole && isBegun(text)) torn = start;
        else {
          const { id, status } = storedResult(text, `${path}: line ${number}`, expected);
          if (done.has(id)) throw new BatchError(`${path}: line ${number}: ${id} occurs twice`);
          done.add(id);
          if (status !== OK) failed++;
        }
      }
    }
    try {
      const file = openSync(path, 'a');
      if (torn !== undefined) ftruncateSync(file, torn);
      const { size } = fstatSync(file, { bigint: true });
      return new ResultFile(path, file, Number(size), done, failed);
    } catch (error) {
      throw fileError(path, 'written', error);
    }
  }

  /** Appends a line. It is in the file when this returns. @throws FileError; the file has whole lines then */
  append(result: BatchResult): void {
    const bytes = Buffer.from(`${JSON.stringify(result)}\n`);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.file, bytes, at);
      this.size += bytes.length;
    } catch (error) {
      ftruncateSync(this.file, this.size); // a full disk took a part of the line
      throw fileError(this.path, 'written', error);
    }
  }

  close(): void {
    fsyncSync(this.file);
    closeSync(this.file);
  }
}

/** Whether a line without an end may be a part of a result. */
function isBegun(text: string): boolean {
  const begin = `{"id":"${ID_PREFIX}`;
  return text.startsWith(begin) || begin.startsWith(text);
}

function storedResult(text: string, where: string, expected: ReadonlySet<string>) {
  const { id, custom_id: customId, response } = recordOf(text) ?? {};
  if (typeof id !== 'string' || !id.startsWith(ID_PREFIX)) {
    throw new BatchError(`${where}: expected a result of rene batch; choose another output file`);
  }
  if (expected.has(id)) return { id, status: asRecord(response)?.status_code };
  const which = typeof customId === 'string' ? `'${customId}'` : id;
  throw new BatchError(
    `${where}: the result of ${which} belongs to another request or another model; ` +
      'choose another output file',
  );
}

function recordOf(text: string): Record<string, unknown> | undefined {
  try {
    return asRecord(JSON.parse(text));
  } catch {
    return undefined;
  }
}
