// Starts the worker that runs a model: from its file, from a CDN, or from the embedded copy.

import { WorkerError } from './wire_errors.js';
import type { ModelThread } from './worker_client.js';

// Browser globals that Node's type declarations lack.
export interface BrowserWorker extends ModelThread {
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: ((event: { message?: string }) => void) | null;
}
declare const Worker: new (url: URL | string, options: { type: 'module' }) => BrowserWorker;
declare const DecompressionStream: new (
  format: 'gzip',
) => { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> };

/** The worker with all backends but webgpu, or the larger one with all. */
export type WorkerKind = 'simd' | 'webgpu';

/**
 * Starts a worker.
 *
 * @param url of the worker's script. Default: beside this file, or the embedded copy where no file is served.
 * @throws WorkerError that says what was tried
 */
export async function startWorker(kind: WorkerKind, url?: string): Promise<BrowserWorker> {
  try {
    return await started(url === undefined ? fromFile(kind) : fromUrl(url));
  } catch (fileError) {
    if (url !== undefined) {
      throw new WorkerError(`${url}: the worker does not start. ${messageOf(fileError)}`);
    }
    try {
      const { default: packed } =
        kind === 'webgpu'
          ? await import('./embedded/worker_webgpu.js')
          : await import('./embedded/worker_simd.js');
      const worker = await started(fromText(await decompress(packed)));
      console.warn(`rene: ${messageOf(fileError)}. Using the embedded copy.`);
      return worker;
    } catch (copyError) {
      const why = `${messageOf(fileError)}. The embedded copy: ${messageOf(copyError)}`;
      throw new WorkerError(`the worker does not start: ${why}`, { cause: copyError });
    }
  }
}

function fromFile(kind: WorkerKind): BrowserWorker {
  const name = kind === 'webgpu' ? 'rene.worker.webgpu.js' : 'rene.worker.js';
  // A page may not start a worker from another origin's URL, but import its script.
  // Bundlers would take `new URL(name, import.meta.url)` for all files of the folder.
  const here = String(import.meta.url);
  if (isElsewhere(here)) return fromUrl(new URL(`../../${name}`, here).href);
  // Single expressions, since bundlers search for them.
  return kind === 'webgpu'
    ? new Worker(new URL('../../rene.worker.webgpu.js', import.meta.url), { type: 'module' })
    : new Worker(new URL('../../rene.worker.js', import.meta.url), { type: 'module' });
}

function fromUrl(url: string): BrowserWorker {
  return isElsewhere(url)
    ? fromText(`import ${JSON.stringify(url)};`)
    : new Worker(url, { type: 'module' });
}

/** The URL is not released: the worker's script may still be read from it. */
function fromText(text: string): BrowserWorker {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  return new Worker(url, { type: 'module' });
}

function isElsewhere(url: string): boolean {
  return /^https?:/.test(url) && new URL(url).origin !== Reflect.get(globalThis, 'origin');
}

/** Resolves on the worker's first message. */
function started(worker: BrowserWorker): Promise<BrowserWorker> {
  return new Promise((resolve, reject) => {
    worker.onmessage = () => resolve(worker);
    worker.onerror = ({ message }) => {
      worker.terminate();
      reject(
        new Error(
          // Browsers give no reason if a script does not load or is not allowed.
          message ||
            'the script of the worker does not load: the file is not served, or a Content-Security-Policy ' +
              "lacks worker-src 'self' blob:",
        ),
      );
    };
  });
}

async function decompress(base64: string): Promise<string> {
  const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
