// The tokenizer's thread: answers each text that is posted to it with its ids, in order.
import { parentPort, workerData } from 'node:worker_threads';
import { type EncodeOptions, Tokenizer } from '../tokenizer.js';

export interface EncodeTask {
  text: string;
  options: EncodeOptions;
}

export type EncodeAnswer = { ids: number[] } | { error: string };

const port = parentPort;
if (!port) throw new Error('serving/tokenizer_worker.ts runs as a worker thread');
// What TokenizerThread passes; nobody else starts this file.
const path: string = workerData;
const tokenizer = await Tokenizer.fromFile(path);
port.on('message', (task: EncodeTask) => port.postMessage(answer(task)));

function answer({ text, options }: EncodeTask): EncodeAnswer {
  try {
    return { ids: tokenizer.encode(text, options) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
