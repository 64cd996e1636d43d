// The tokenizer's thread: encodes posted texts in turns.
import { parentPort, workerData } from 'node:worker_threads';
// Imports only the tokenizer, so that the thread starts fast and stays small.
import { type EncodeOptions, Tokenizer } from '@rene-js/rene/internal/tokenizer';
import { TokenizerTasks } from './tokenizer_tasks.js';

export type TokenizerRequest =
  | { type: 'encode'; id: number; text: string; options: EncodeOptions }
  | { type: 'cancel'; id: number };

export type TokenizerAnswer = { id: number; ids: Int32Array } | { id: number; error: string };

/** Milliseconds between checks for messages. */
const TURN = 10;

const port = parentPort;
if (!port) throw new Error('serving/tokenizer_worker.ts runs as a worker thread');
// Set by TokenizerThread, which alone starts this file.
const path: string = workerData;
const tokenizer = await Tokenizer.fromFile(path);
const tasks = new TokenizerTasks();
let isRunning = false;
port.on('message', (request: TokenizerRequest) => {
  if (request.type === 'cancel') {
    tasks.cancel(request.id);
    return;
  }
  const { id, text, options } = request;
  tasks.add({ id, length: text.length, steps: tokenizer.encodeInSteps(text, options) });
  if (!isRunning) run();
});

/** One turn, then the next one after handling messages. */
function run(): void {
  const start = performance.now();
  const result = tasks.turn(() => performance.now() - start >= TURN);
  if (result && 'ids' in result) {
    const ids = Int32Array.from(result.ids);
    port?.postMessage({ id: result.id, ids } satisfies TokenizerAnswer, [ids.buffer]);
  } else if (result) {
    const { id, error } = result;
    const message = error instanceof Error ? error.message : String(error);
    port?.postMessage({ id, error: message } satisfies TokenizerAnswer);
  }
  isRunning = tasks.size > 0;
  if (isRunning) setImmediate(run);
}
