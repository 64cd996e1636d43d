// A batch in a process of its own, to be killed: kill_child.js IN OUT. Says when it has begun.
import { setTimeout as sleep } from 'node:timers/promises';
import { ResultFile } from '../../src/batch/result_file.js';
import { batchLines, checkBatch, runBatch } from '../../src/batch/run_batch.js';

const [input = '', output = ''] = process.argv.slice(2);
const file = await ResultFile.open(output, await checkBatch(input, 'model'));
process.stdout.write('begun');
const lines = batchLines(input, 'model');
await runBatch(
  lines,
  async ({ body }) => {
    await sleep(Math.random() * 4); // results come in another order each time
    const body_ = { text: JSON.stringify(body).repeat(200) };
    return { status_code: 200, request_id: 'r', body: body_ };
  },
  file,
  { concurrency: 8 },
);
file.close();
