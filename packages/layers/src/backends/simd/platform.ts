// The seam between Node and the browser: files, cores, workers.
import type { WasmMemory, WasmModule } from './webassembly.js';

export interface WorkerData {
  readonly module: WasmModule;
  readonly memory: WasmMemory;
  readonly control: number;
  readonly thread: number;
}

export interface WorkerHandle {
  terminate(): void;
}

const isNode = typeof process !== 'undefined' && Boolean(process.versions?.node);

/**
 * The compiled kernels, which are published beside this file. Their URLs are written out so that
 * bundlers find the files.
 */
export async function readKernels(relaxedSimd: boolean): Promise<Uint8Array> {
  const url = relaxedSimd
    ? new URL('./kernels_relaxed.wasm', import.meta.url)
    : new URL('./kernels.wasm', import.meta.url);
  if (isNode) return (await import('node:fs/promises')).readFile(url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.href}: HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Cores that this process may use. */
export async function availableCores(): Promise<number> {
  if (isNode) return (await import('node:os')).availableParallelism();
  // Node's declarations lack the browser's navigator.
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  return navigator?.hardwareConcurrency ?? 1;
}

/** Bytes of memory that the machine has left for this process; Infinity where nobody says. */
export function freeMemory(): number {
  return isNode ? process.availableMemory() : Number.POSITIVE_INFINITY;
}

/** An environment variable; undefined in a browser. */
export function environment(name: string): string | undefined {
  return isNode ? process.env[name] : undefined;
}

/** Whether memory can be shared with workers: always in Node, in a browser only when isolated. */
export function canShareMemory(): boolean {
  return typeof SharedArrayBuffer !== 'undefined';
}

/** Relaxed SIMD is behind a flag in Node 20; it must be set before a module is compiled. */
export async function allowRelaxedSimd(): Promise<void> {
  if (isNode && Number.parseInt(process.versions.node, 10) < 22) {
    (await import('node:v8')).setFlagsFromString('--experimental-wasm-relaxed-simd');
  }
}

/** Starts worker.js. It never keeps the process alive. */
export async function startWorker(
  data: WorkerData,
  onError: (error: Error) => void,
): Promise<WorkerHandle> {
  if (isNode) {
    const { Worker } = await import('node:worker_threads');
    const url = new URL('./worker.js', import.meta.url);
    const worker = new Worker(url, { workerData: data, stdout: false, stderr: false });
    worker.on('error', onError);
    worker.unref();
    return { terminate: () => void worker.terminate() };
  }
  // Node's declarations lack the browser's Worker.
  const { Worker } = globalThis as unknown as { Worker: BrowserWorkerConstructor };
  // In one expression: bundlers look for it.
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  worker.onerror = (event) => onError(new Error(event.message));
  worker.postMessage(data);
  return worker;
}

type BrowserWorkerConstructor = new (
  url: URL,
  options: { type: 'module' },
) => WorkerHandle & {
  onerror: (event: { message: string }) => void;
  postMessage(data: WorkerData): void;
};

/** In a worker: what startWorker was given. */
export async function receiveWorkerData(): Promise<WorkerData> {
  if (isNode) return (await import('node:worker_threads')).workerData;
  // Node's declarations lack a browser worker's global scope.
  const scope = globalThis as unknown as { onmessage: (event: { data: WorkerData }) => void };
  return new Promise((resolve) => {
    scope.onmessage = ({ data }) => resolve(data);
  });
}
