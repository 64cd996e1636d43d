// The seam to the platform, for Node: files, cores, memory, workers. package.json puts platform_browser.ts in its
// place for browsers, so that bundlers never see an import of Node's modules.
import { readFile } from 'node:fs/promises';
import { freemem } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { BackendError } from '../../errors.js';
import { processCores } from './process_cores.js';
import type { WorkerData, WorkerHandle } from './worker_data.js';

/** The compiled kernels, which are published beside this file. @throws BackendError that names a missing file */
export async function readKernels(relaxedSimd: boolean): Promise<Uint8Array> {
  const file = relaxedSimd ? './kernels_relaxed.wasm' : './kernels.wasm';
  try {
    return await readFile(new URL(file, import.meta.url));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError(
      `the backend 'simd' cannot read its kernels: ${reason}. Build the packages (npm run build), and keep them out ` +
        'of bundles for Node',
      { cause },
    );
  }
}

/** Cores that this process may use: its CPU affinity and its cgroups' CPU quotas count. */
export async function availableCores(): Promise<number> {
  return processCores();
}

/** Bytes of memory that are left for this process. */
export function freeMemory(): number {
  if (typeof process.availableMemory === 'function') return process.availableMemory();
  // Node before 20.13.
  const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  return Math.min(freemem(), Math.max(0, limit - process.memoryUsage.rss()));
}

/** An environment variable. */
export function environment(name: string): string | undefined {
  return process.env[name];
}

/** Relaxed SIMD is behind a flag in Node 20; it must be set before a module is compiled. */
export function allowRelaxedSimd(): void {
  if (Number.parseInt(process.versions.node, 10) < 22) {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
  }
}

/** What helps where no memory can be reserved. */
export const memoryAdvice =
  'Raise the limit of the address space (ulimit -v), or run node with --disable-wasm-trap-handler';

/** Starts a worker for each `data`. They never keep the process alive. */
export function startWorkers(
  all: readonly WorkerData[],
  onError: (error: Error) => void,
): WorkerHandle {
  const workers = all.map((workerData) => {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData,
      // A worker needs none of the program's: V8's flags hold for the process, --input-type and, in Node 20.0, some
      // flags of V8 would end it.
      execArgv: [],
      stdout: false,
      stderr: false,
    });
    worker.on('error', onError);
    worker.unref();
    return worker;
  });
  return { terminate: () => workers.forEach((worker) => void worker.terminate()) };
}
