// A worker thread: serves jobs on the shared memory until the process ends.
import { FAILED_WORD } from './control.js';
import { receiveWorkerData } from './platform.js';
import { instantiate } from './webassembly.js';

const { module, memory, control, thread } = await receiveWorkerData();
try {
  instantiate(module, memory).serve(control, thread);
} catch (error) {
  // The main thread may be waiting for this one's units: tell it that they will not come.
  Atomics.store(new Int32Array(memory.buffer), control / 4 + FAILED_WORD, 1);
  throw error;
}
