// Access to the platform in browsers; package.json replaces platform.ts by this file.
//
// Kernels and worker are separate files. Their URLs are written out so that bundlers (Vite, webpack) find
// them. Where they are not served (Vite's development server, esbuild, Rollup), copies embedded in the
// JavaScript are used, after one failed request.
import { BackendError } from '../../errors.js';
import type { WorkerData, WorkerHandle } from './worker_data.js';

// Browser globals that Node's type declarations lack.
interface BrowserWorker extends WorkerHandle {
  onmessage: () => void;
  onerror: (event: { message?: string }) => void;
  postMessage(data: WorkerData): void;
}
declare const Worker: new (url: URL | string, options: { type: 'module' }) => BrowserWorker;
declare const DecompressionStream: new (
  format: 'gzip',
) => { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> };

/**
 * Loads the compiled kernels. @throws BackendError naming the URL if neither the file nor the copy is
 * available
 */
export async function readKernels(relaxedSimd: boolean): Promise<Uint8Array> {
  try {
    return await download(
      relaxedSimd
        ? new URL('./kernels_relaxed.wasm', import.meta.url)
        : new URL('./kernels.wasm', import.meta.url),
    );
  } catch (fileError) {
    try {
      const { default: base64 } = relaxedSimd
        ? await import('./embedded/kernels_relaxed.js')
        : await import('./embedded/kernels.js');
      const bytes = await decompress(base64);
      notice(`${messageOf(fileError)}. Using the embedded copy`);
      return bytes;
    } catch (copyError) {
      throw new BackendError(
        `the backend 'simd' cannot load its kernels. ${messageOf(fileError)}. ${messageOf(copyError)}. ` +
          'Serve the .wasm files of @rene-js/layers/dist/src/backends/simd beside the bundle.',
        { cause: fileError },
      );
    }
  }
}

async function download(url: URL): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new Error(`${url.href}: ${messageOf(cause)}`, { cause });
  }
  if (!response.ok) throw new Error(`${url.href}: HTTP status ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  // Single-page servers answer with an HTML page for missing files.
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== '\0asm') {
    const type = response.headers.get('content-type') ?? 'unknown content';
    throw new Error(`${url.href}: expected WebAssembly, found ${type}`);
  }
  return bytes;
}

async function decompress(base64: string): Promise<Uint8Array> {
  const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Logical processors of the machine. */
export async function availableCores(): Promise<number> {
  // Node's type declarations lack the browser's navigator.
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  return navigator?.hardwareConcurrency ?? 1;
}

/** Free memory: unknown in a page. */
export function freeMemory(): number {
  return Number.POSITIVE_INFINITY;
}

/** Environment variables do not exist in a page. */
export function environment(_name: string): string | undefined {
  return undefined;
}

/** Browsers need no flag. */
export function allowRelaxedSimd(): void {}

/** Advice if no memory can be reserved. */
export const memoryAdvice = 'Close other tabs, or reload this one';

/** Starts a worker for each `data` in the background. */
export function startWorkers(
  all: readonly WorkerData[],
  onError: (error: Error) => void,
): WorkerHandle {
  const workers: BrowserWorker[] = [];
  let ended = false;
  const start = (worker: BrowserWorker, data: WorkerData) => {
    if (ended) return worker.terminate();
    workers.push(worker);
    worker.postMessage(data);
  };
  const startAll = async () => {
    const [first, ...others] = all;
    if (!first) return;
    // The first one tests whether the worker's file is served.
    let make = fromFile;
    try {
      const worker = fromFile();
      const begins = started(worker);
      start(worker, first);
      await begins;
    } catch (fileError) {
      const { default: source } = await import('./embedded/worker.js');
      make = () => fromText(source);
      const worker = make();
      const begins = started(worker);
      start(worker, first);
      await begins;
      notice(`${messageOf(fileError)}. Using the embedded copy`);
    }
    for (const data of others) {
      const worker = make();
      worker.onerror = (event) => onError(scriptError(event));
      start(worker, data);
    }
  };
  startAll().catch(onError);
  return {
    terminate() {
      ended = true;
      for (const worker of workers) worker.terminate();
    },
  };
}

function fromFile(): BrowserWorker {
  // A single expression, since bundlers search for it.
  return new Worker(new URL('./worker_browser.js', import.meta.url), { type: 'module' });
}

function fromText(source: string): BrowserWorker {
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  return new Worker(url, { type: 'module' });
}

/** Resolves on the worker's first message. Rejects if its script does not load or fails. */
function started(worker: BrowserWorker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = (event) => reject(scriptError(event));
  });
}

function scriptError({ message }: { message?: string }): Error {
  // Browsers give no reason if a script does not load or is not allowed.
  return new Error(
    message ||
      'worker_browser.js, the script of a thread, does not load: the file is not served, or a ' +
        "Content-Security-Policy lacks worker-src 'self' blob:",
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function notice(text: string): void {
  // A script that is an embedded copy itself has no files beside it.
  if (!String(import.meta.url).startsWith('blob:')) console.warn(`simd: ${text}.`);
}
