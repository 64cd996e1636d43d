// Runs the lines of a batch: several at a time, each result written as soon as it is known.
import type { FastifyInstance } from 'fastify';
import type { Engine } from '../serving/job.js';
import { BatchError } from './batch_error.js';
import { type BatchLine, type BatchRequest, isLineError, parseBatchLine } from './batch_line.js';
import { fileLines } from './file_lines.js';
import { type BatchResponse, type BatchResult, OK, type ResultFile } from './result_file.js';

/** Answers one request. */
export type Answer = (request: BatchRequest) => Promise<BatchResponse>;

/** The lines of a batch file. */
export async function* batchLines(
  path: string,
  model: string,
): AsyncGenerator<BatchLine, void, void> {
  for await (const { text, number } of fileLines(path)) yield parseBatchLine(text, number, model);
}

/**
 * Reads a batch file to check it.
 *
 * @returns the ids of its lines
 * @throws BatchError if two lines have the same custom_id; FileError
 */
export async function checkBatch(path: string, model: string): Promise<Set<string>> {
  const ids = new Set<string>();
  const numbers = new Map<string, number>();
  for await (const { id, number, customId } of batchLines(path, model)) {
    ids.add(id);
    if (customId === null) continue;
    const first = numbers.get(customId);
    if (first !== undefined) {
      throw new BatchError(
        `${path}: lines ${first} and ${number} have the same custom_id ${JSON.stringify(customId)}`,
      );
    }
    numbers.set(customId, number);
  }
  return ids;
}

export interface RunOptions {
  /** Number of lines in progress. */
  concurrency: number;
  /** Stops the run. Lines in progress are dropped. */
  signal?: AbortSignal | undefined;
  /** Called with the numbers of lines that have a result and that failed. */
  onProgress?: ((done: number, failed: number) => void) | undefined;
}

/** Runs the lines that have no result yet. @returns the number of all results and of failed ones */
export async function runBatch(
  lines: AsyncGenerator<BatchLine, void, void>,
  answer: Answer,
  file: ResultFile,
  { concurrency, signal, onProgress }: RunOptions,
): Promise<{ done: number; failed: number }> {
  let done = file.done.size;
  let { failed } = file;
  let isOver = false;
  onProgress?.(done, failed);
  const work = async () => {
    for (;;) {
      const { value: line } = await lines.next();
      if (!line || isOver) return;
      if (file.done.has(line.id)) continue;
      const result = await resultOf(line, answer).catch((error: unknown) => {
        if (!isOver) throw error; // else the line is dropped
      });
      if (!result || isOver) return;
      file.append(result);
      done++;
      if (result.response?.status_code !== OK) failed++;
      onProgress?.(done, failed);
    }
  };
  const guarded = () =>
    work().catch((error: unknown) => {
      isOver = true;
      throw error;
    });
  const stop = () => {
    isOver = true;
  };
  signal?.addEventListener('abort', stop);
  try {
    await Promise.all(Array.from({ length: concurrency }, guarded));
  } finally {
    signal?.removeEventListener('abort', stop);
    await lines.return();
  }
  return { done, failed };
}

async function resultOf(
  { id, customId, request }: BatchLine,
  answer: Answer,
): Promise<BatchResult> {
  const error = isLineError(request) ? request : null;
  const response = isLineError(request) ? null : await answer(request);
  return { id, custom_id: customId, response, error };
}

/** Answers requests by a server that does not listen: fields, limits and errors are the server's. */
export function serverAnswers(server: FastifyInstance, engine: Engine): Answer {
  return async ({ url, body }) => {
    const response = await server.inject({ method: 'POST', url, payload: body });
    const { downReason } = engine;
    // The next run answers the request.
    if (response.statusCode === 503 && downReason !== undefined) throw new BatchError(downReason);
    return {
      status_code: response.statusCode,
      request_id: String(response.headers['x-request-id']),
      body: response.json<unknown>(),
    };
  };
}
