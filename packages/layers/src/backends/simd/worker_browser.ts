// A worker thread in a browser: runs jobs on the shared memory until the page ends it. It imports nothing,
// since its text is embedded too (see platform_browser.ts).
import type { KernelExports } from './webassembly.js';
import type { WorkerData } from './worker_data.js';

// Browser globals that Node's type declarations lack.
declare const WebAssembly: {
  Instance: new (module: object, imports: object) => { readonly exports: KernelExports };
};
declare function addEventListener(
  type: 'message',
  listener: (event: { data: WorkerData }) => void,
): void;
declare function postMessage(message: 'started'): void;

addEventListener('message', ({ data: { module, memory, control, thread, failedWord } }) => {
  try {
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    // serve() does not return, so this is the last message.
    postMessage('started');
    exports.serve(control, thread);
  } catch (error) {
    // The main thread may wait for this thread's units: signal that they will not come.
    Atomics.store(new Int32Array(memory.buffer), failedWord, 1);
    throw error;
  }
});
