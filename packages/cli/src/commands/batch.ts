// `rene batch IN.jsonl OUT.jsonl`: answers a file of requests.
import { dirname } from 'node:path';
import { EMBEDDED_MODEL, fileError, makeFolder, withLock } from '@rene-js/rene/internal';
import { ResultFile } from '../batch/result_file.js';
import { batchLines, checkBatch, runBatch, serverAnswers } from '../batch/run_batch.js';
import { createServer } from '../serving/server.js';
import type { BatchOptions } from './batch_options.js';
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
  const format = '{value}/{total} requests [{bar}] {eta_formatted} left, {failed} failed';
  try {
    const { done, failed } = await withProgressBar(format, (update) =>
      runBatch(batchLines(input, identity), serverAnswers(server, engine), file, {
        concurrency,
        signal: stop.signal,
        onProgress: (done, failed) => update(done, ids.size, { failed }),
      }),
    );
    const counts = `${done} of ${ids.size} requests have a result, ${failed} of them an error`;
    if (stop.signal.aborted) {
      process.exitCode = stop.exitCode();
      onNotice(`stopped: ${counts}; run the same command again to continue`);
    } else process.stdout.write(`${output}: ${counts}\n`);
  } finally {
    file.close();
    await server.close();
  }
}
