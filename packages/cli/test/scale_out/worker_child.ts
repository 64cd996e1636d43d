// A worker without a model, in a process of its own: worker_child.js URL IDENTITY.
// Answers a prompt with its length. 'die' ends the process, 'throw' fails, 'slow' takes a second.
import { setTimeout as sleep } from 'node:timers/promises';
import { startConsumer } from '../../src/scale_out/consumer.js';
import { connect, disconnect } from '../../src/scale_out/redis.js';

const [url = '', identity = ''] = process.argv.slice(2);
const onNotice = (notice: string) => process.stderr.write(`${notice}\n`);
const redis = await connect(url, onNotice);
const worker = await startConsumer(
  redis,
  identity,
  async (items, onOutcome) => {
    for (const item of items) {
      if (item.work.kind !== 'request') continue;
      const prompt = String(item.work.request.body.prompt);
      if (prompt === 'die') process.kill(process.pid, 'SIGKILL');
      if (prompt === 'throw') throw new Error('it throws');
      await redis.incr(`test:begun:${item.id}`);
      await sleep(prompt === 'slow' ? 1000 : 2);
      const body = { text: `${prompt} ${prompt.length}`, pid: process.pid };
      await redis.incr(`test:count:${item.id}`);
      await onOutcome(item, {
        kind: 'response',
        response: { status_code: 200, request_id: 'r', body },
      });
    }
  },
  { lockSeconds: 1, onNotice },
);
process.on('SIGTERM', () => void worker.close().then(() => disconnect(redis)));
process.stdout.write('ready');
