// A process that takes a lock, prints a line, and holds the lock until it is killed.
import { setTimeout as sleep } from 'node:timers/promises';
import { withLock } from '../../src/checkpoint/lock.js';

const [, , path = ''] = process.argv;
await withLock(path, {}, async () => {
  process.stdout.write('held\n');
  await sleep(600_000);
});
