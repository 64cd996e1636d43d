// A static HTTP server for pages and models: with or without cross-origin isolation, with range requests.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { extname, join } from 'node:path';

export interface StaticServer {
  /** `http://localhost:port` */
  origin: string;
  /** Paths of requests for missing files. */
  missing: string[];
  /** Bytes that were sent, by path. */
  sent: Map<string, number>;
  /** Positions of the first bytes of all responses with .safetensors files. */
  starts: number[];
  /** Positions in .safetensors files from which on the next responses trickle until `hasArrived`, and are cut then. */
  cuts: number[];
  /** Whether the page has the bytes before a position. Default: yes. */
  hasArrived: (position: number) => boolean;
  close(): void;
}

export interface StaticServerOptions {
  /**
   * Send the headers for cross-origin isolation, so that memory can be shared with workers. Default: false.
   */
  isolated?: boolean;
  /** Further folders by URL path, for instance `/models/`. */
  folders?: Record<string, string>;
  /** The file of `root` that is sent with status 200 for missing files, as single-page hosts do. */
  fallback?: string;
  /** Headers of every response, for instance `content-security-policy`. */
  headers?: Record<string, string>;
  /** Speed at which .safetensors files are sent. Default: as fast as possible. */
  bytesPerSecond?: number;
}

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** Serves the files of `root`, on a free port of this machine. */
export async function serve(
  root: string,
  options: StaticServerOptions = {},
): Promise<StaticServer> {
  const missing: string[] = [];
  const sent = new Map<string, number>();
  const shared: Pick<StaticServer, 'starts' | 'cuts' | 'hasArrived'> = {
    ...{ starts: [], cuts: [], hasArrived: () => true },
  };
  const send = async (file: string, request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const isWeights = pathname.endsWith('.safetensors') && request.method === 'GET';
    const limits = { cutAt: shared.cuts[0], rate: options.bytesPerSecond };
    await answer(file, request, response, isWeights ? limits : {}, {
      onStart: (position) => void (isWeights && shared.starts.push(position)),
      onBytes: (count) => sent.set(pathname, (sent.get(pathname) ?? 0) + count),
      mayCut: (position) => shared.hasArrived(position) && shared.cuts.shift() !== undefined,
    });
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    send(fileOf(decodeURIComponent(pathname), root, options.folders ?? {}), request, response)
      .catch(() => {
        missing.push(pathname);
        if (options.fallback) return send(join(root, options.fallback), request, response);
        response.writeHead(404).end();
      })
      .catch(() => response.destroy());
  });
  server.prependListener('request', (_, response) => setHeaders(response, options));
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return Object.assign(shared, {
    origin: `http://localhost:${port}`,
    ...{ missing, sent },
    close() {
      server.close();
      server.closeAllConnections();
    },
  });
}

export const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

function setHeaders(response: ServerResponse, { isolated, headers }: StaticServerOptions): void {
  const all = {
    ...(isolated ? isolation : {}),
    'cross-origin-resource-policy': 'cross-origin',
    'access-control-allow-origin': '*',
    'access-control-allow-methods': '*',
    'access-control-allow-headers': '*',
    'access-control-expose-headers': 'content-range, content-length, etag',
    'cache-control': 'no-store',
    ...headers,
  };
  for (const [name, value] of Object.entries(all)) response.setHeader(name, value);
}

function fileOf(path: string, root: string, folders: Record<string, string>): string {
  for (const [prefix, folder] of Object.entries(folders)) {
    if (path.startsWith(prefix)) return join(folder, path.slice(prefix.length));
  }
  return join(root, path.endsWith('/') ? `${path}index.html` : path);
}

interface Watch {
  onStart(position: number): void;
  onBytes(count: number): void;
  /** Whether a response that has reached its cut ends now. */
  mayCut(position: number): boolean;
}

/** @throws if the file does not exist */
async function answer(
  file: string,
  request: IncomingMessage,
  response: ServerResponse,
  { cutAt, rate }: { cutAt?: number | undefined; rate?: number | undefined },
  { onStart, onBytes, mayCut }: Watch,
): Promise<void> {
  const stats = await stat(file);
  if (!stats.isFile()) throw new Error(`${file} is no file`);
  response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream');
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('etag', `"${stats.size}-${stats.mtimeMs}"`);
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = last ? Math.min(Number(last), stats.size - 1) : stats.size - 1;
  if (first !== undefined) {
    response.statusCode = 206;
    response.setHeader('content-range', `bytes ${start}-${end}/${stats.size}`);
  }
  response.setHeader('content-length', end - start + 1);
  if (request.method === 'OPTIONS' || request.method === 'HEAD' || end < start) {
    response.end();
    return;
  }
  onStart(start);
  const isCut = cutAt !== undefined && cutAt > start && cutAt <= end;
  const stop = isCut ? cutAt - 1 : end;
  const send = async (first: number, last: number) => {
    for await (const chunk of createReadStream(file, { start: first, end: last })) {
      if (response.destroyed) return;
      onBytes(chunk.length);
      await new Promise((resolve) => response.write(chunk, resolve));
      if (rate) await new Promise((resolve) => setTimeout(resolve, (1000 * chunk.length) / rate));
    }
  };
  await send(start, stop);
  if (!isCut) return void response.end();
  // A page reports what has arrived with the next bytes only.
  for (let at = cutAt; !response.destroyed && !mayCut(cutAt); at += TRICKLE) {
    if (at + TRICKLE > end) throw new Error(`${file}: the page has not reported byte ${cutAt}`);
    await send(at, at + TRICKLE - 1);
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  response.destroy();
}

/** Bytes of a trickle between two pauses. */
const TRICKLE = 1024;
