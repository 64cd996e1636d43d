// What a worker thread of the backend 'simd' is started with, and what its owner holds.
import type { WasmMemory, WasmModule } from './webassembly.js';

export interface WorkerData {
  readonly module: WasmModule;
  readonly memory: WasmMemory;
  /** Address of the control block. */
  readonly control: number;
  /** 1 for the first worker: thread 0 is the caller. */
  readonly thread: number;
  /** Index of the word of `memory` that tells the caller that a worker failed. */
  readonly failedWord: number;
}

export interface WorkerHandle {
  terminate(): void;
}
