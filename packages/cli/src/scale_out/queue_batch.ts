// Batches that workers answer.
import { type BatchLine, type BatchRequest, isLineError } from '../batch/batch_line.js';
import { type BatchResult, OK, type ResultFile } from '../batch/result_file.js';
import type { RunOptions } from '../batch/run_batch.js';
import type { Producer } from './producer.js';
import type { Outcome, WorkItem } from './work.js';

/** Lines that are sorted and cut into slices together, and how many times as many are in progress. */
const WINDOW = 256;
const WINDOWS = 3;

/** Like runBatch, for lines that workers answer. @returns the number of all results and of failed ones */
export async function runQueueBatch(
  lines: AsyncGenerator<BatchLine, void, void>,
  producer: Producer,
  file: ResultFile,
  { onProgress }: Pick<RunOptions, 'onProgress'>,
): Promise<{ done: number; failed: number }> {
  let done = file.done.size;
  let { failed } = file;
  const write = (result: BatchResult) => {
    file.append(result);
    done++;
    if (result.response?.status_code !== OK) failed++;
    onProgress?.(done, failed);
  };
  onProgress?.(done, failed);
  const work = async () => {
    for (;;) {
      const items: WorkItem[] = [];
      const itemLines = new Map<string, BatchLine>();
      while (items.length < WINDOW) {
        const { value: line } = await lines.next();
        if (!line) break;
        const { id, customId, request } = line;
        if (file.done.has(id)) continue;
        if (isLineError(request))
          write({ id, custom_id: customId, response: null, error: request });
        else {
          items.push(itemOf(id, request));
          itemLines.set(id, line);
        }
      }
      if (items.length === 0) return;
      await producer.run(items, ({ id }, outcome) => {
        const line = itemLines.get(id);
        if (line) write(resultOf(line, outcome));
      });
    }
  };
  await Promise.all(Array.from({ length: WINDOWS }, work));
  return { done, failed };
}

function itemOf(id: string, request: BatchRequest): WorkItem {
  return { id, work: { kind: 'request', request } };
}

function resultOf({ id, customId, number: line }: BatchLine, outcome: Outcome): BatchResult {
  if (outcome.kind === 'response') {
    return { id, custom_id: customId, response: outcome.response, error: null };
  }
  const message = outcome.kind === 'error' ? outcome.message : 'the result is of another kind';
  const error = { code: 'worker_failed', message, param: null, line };
  return { id, custom_id: customId, response: null, error };
}
