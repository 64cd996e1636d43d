// The data with which a worker thread of the backend 'simd' starts, and its handle.
import type { WasmMemory, WasmModule } from './webassembly.js';

export interface WorkerData {
  readonly module: WasmModule;
  readonly memory: WasmMemory;
  /** Address of the control block. */
  readonly control: number;
  /** 1 for the first worker; thread 0 is the caller. */
  readonly thread: number;
  /** Index of the word of `memory` that signals the failure of a worker. */
  readonly failedWord: number;
}

export interface WorkerHandle {
  terminate(): void;
}
