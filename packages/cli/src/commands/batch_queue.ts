// `rene batch --queue URL`: workers answer the requests.
import { EMBEDDED_MODEL } from '@rene-js/rene/internal';
import { ResultFile } from '../batch/result_file.js';
import { batchLines, checkBatch } from '../batch/run_batch.js';
import { Producer } from '../scale_out/producer.js';
import { runQueueBatch } from '../scale_out/queue_batch.js';
import { connect, disconnect, shownUrl } from '../scale_out/redis.js';
import { identityOf } from '../scale_out/registry.js';
import type { BatchOptions } from './batch_options.js';
import { PROGRESS, report } from './batch_report.js';
import { stopSignals } from './interrupt.js';
import { onNotice, servedName } from './load.js';
import { withProgressBar } from './progress_bar.js';

export async function runByWorkers(
  input: string,
  output: string,
  options: BatchOptions,
  url: string,
): Promise<void> {
  const where = shownUrl(url);
  const name = options.servedModelName ?? (await servedName(options.model ?? EMBEDDED_MODEL));
  const redis = await connect(url, onNotice);
  const stop = stopSignals();
  let producer: Producer | undefined;
  try {
    const onWait = () => onNotice(`${where}: there is no worker with the model '${name}': waiting`);
    const identity = await identityOf(redis, name, onWait, stop.signal);
    const ids = await checkBatch(input, identity);
    const file = await ResultFile.open(output, ids);
    const opened = await Producer.open(redis, identity, stop.signal);
    producer = opened;
    let count = { done: file.done.size, failed: file.failed };
    try {
      await withProgressBar(PROGRESS, (update) =>
        runQueueBatch(batchLines(input, identity), opened, file, {
          onProgress: (done, failed) => {
            count = { done, failed };
            update(done, ids.size, { failed });
          },
        }),
      );
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    } finally {
      file.close();
    }
    report(output, ids.size, count, stop);
  } finally {
    stop.release();
    if (redis.status === 'ready') await producer?.close();
    disconnect(redis);
  }
}
