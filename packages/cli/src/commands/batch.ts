// `rene batch IN.jsonl OUT.jsonl`: answers a file of requests.
import { dirname } from 'node:path';
import { EMBEDDED_MODEL, fileError, makeFolder, withLock } from '@rene-js/rene/internal';
import { ResultFile } from '../batch/result_file.js';
import { batchLines, checkBatch, runBatch, serverAnswers } from '../batch/run_batch.js';
import { createServer } from '../serving/server.js';
import type { BatchOptions } from './batch_options.js';
import { PROGRESS, report } from './batch_report.js';
import { type StopSignals, stopSignals } from './interrupt.js';
import { onNotice } from './load.js';
import { withProgressBar } from './progress_bar.js';
import { UsageError } from './report_error.js';
import { type ServingModel, startServingModel } from './serving_model.js';

export async function runBatchCommand(
  input: string,
  output: string,
  options: BatchOptions,
): Promise<void> {
  if (input === output) throw new UsageError(`expected two files, found '${input}' twice`);
  await checkBatch(input, ''); // before a large model is loaded
  try {
    makeFolder(dirname(output));
  } catch (error) {
    throw fileError(output, 'written', error);
  }
  const onWait = (pid: number | undefined) =>
    onNotice(`another process${pid === undefined ? '' : ` (${pid})`} writes ${output}: waiting`);
  await withLock(`${output}.lock`, { onWait }, async () => {
    if (options.queue !== undefined) {
      const { runByWorkers } = await import('./batch_queue.js');
      await runByWorkers(input, output, options, options.queue);
      return;
    }
    const model = await startServingModel(options.model ?? EMBEDDED_MODEL, options);
    const stop = stopSignals();
    try {
      await answerLines(input, output, model, options, stop);
    } finally {
      stop.release();
      await Promise.all([model.engine.close(), model.encoder.close()]);
    }
  });
}

async function answerLines(
  input: string,
  output: string,
  model: ServingModel,
  { maxLength, concurrency = model.engine.load().slots }: BatchOptions,
  stop: StopSignals,
): Promise<void> {
  const { engine } = model;
  const identity = await model.identity();
  const ids = await checkBatch(input, identity);
  const file = await ResultFile.open(output, ids);
  const server = createServer({
    ...model,
    maxLength,
    maxWaiting: Number.MAX_SAFE_INTEGER,
    bodyLimit: Number.MAX_SAFE_INTEGER,
    onError: ({ stack }) => onNotice(`error: ${stack}`),
  });
  stop.signal.addEventListener('abort', () => void engine.close());

  try {
    const { done, failed } = await withProgressBar(PROGRESS, (update) =>
      runBatch(batchLines(input, identity), serverAnswers(server, engine), file, {
        concurrency,
        signal: stop.signal,
        onProgress: (done, failed) => update(done, ids.size, { failed }),
      }),
    );
    report(output, ids.size, { done, failed }, stop);
  } finally {
    file.close();
    await server.close();
  }
}
