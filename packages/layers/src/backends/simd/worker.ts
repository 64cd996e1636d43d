// A worker thread in Node: runs jobs on the shared memory until the process ends.
import { workerData } from 'node:worker_threads';
import { instantiate } from './webassembly.js';
import type { WorkerData } from './worker_data.js';

const { module, memory, control, thread, failedWord }: WorkerData = workerData;
try {
  instantiate(module, memory).serve(control, thread);
} catch (error) {
  // The main thread may wait for this thread's units: signal that they will not come.
  Atomics.store(new Int32Array(memory.buffer), failedWord, 1);
  throw error;
}
