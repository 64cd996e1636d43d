// Access to the platform in Node: files, cores, memory, workers. package.json replaces this file by
// platform_browser.ts for browsers, so that bundlers do not see imports of Node modules.
import { readFile } from 'node:fs/promises';
import { freemem } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { BackendError } from '../../errors.js';
import { processCores } from './process_cores.js';
import type { WorkerData, WorkerHandle } from './worker_data.js';

/**
 * Loads the compiled kernels, which are published beside this file. @throws BackendError naming a missing
 * file
 */
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

/** Cores that this process may use, by its CPU affinity and its cgroups' CPU quotas. */
export async function availableCores(): Promise<number> {
  return processCores();
}

/** Free memory of this process in bytes. */
export function freeMemory(): number {
  if (typeof process.availableMemory === 'function') return process.availableMemory();
  // Node before 20.13.
  const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  return Math.min(freemem(), Math.max(0, limit - process.memoryUsage.rss()));
}

/** Reads an environment variable. */
export function environment(name: string): string | undefined {
  return process.env[name];
}

/** Relaxed SIMD is behind a flag in Node 20, which must be set before a module is compiled. */
export function allowRelaxedSimd(): void {
  if (Number.parseInt(process.versions.node, 10) < 22) {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
  }
}

/** Advice if no memory can be reserved. */
export const memoryAdvice =
  'Raise the limit of the address space (ulimit -v), or run node with --disable-wasm-trap-handler';

/** Starts a worker for each `data`. Workers do not keep the process alive. */
export function startWorkers(
  all: readonly WorkerData[],
  onError: (error: Error) => void,
): WorkerHandle {
  const workers = all.map((workerData) => {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData,
      // Workers get none of the program's flags: V8's flags hold for the whole process, and --input-type
      // and, in Node 20.0, some V8 flags would end the worker.
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
