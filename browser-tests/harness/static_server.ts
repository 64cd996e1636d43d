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
  /** Numbers of bytes of .safetensors files after which the next connections are cut. */
  cuts: number[];
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
  const cuts: number[] = [];
  const send = async (file: string, request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const isWeights = pathname.endsWith('.safetensors') && request.method === 'GET';
    const limits = { cutAt: isWeights ? cuts.shift() : undefined, rate: options.bytesPerSecond };
    await answer(file, request, response, isWeights ? limits : {}, (bytes) =>
      sent.set(pathname, (sent.get(pathname) ?? 0) + bytes),
    );
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
  return {
    origin: `http://localhost:${port}`,
    ...{ missing, sent, cuts },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
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

/** @throws if the file does not exist */
async function answer(
  file: string,
  request: IncomingMessage,
  response: ServerResponse,
  { cutAt, rate }: { cutAt?: number | undefined; rate?: number | undefined },
  onBytes: (count: number) => void,
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
  const stop = cutAt === undefined ? end : Math.min(end, start + cutAt - 1);
  for await (const chunk of createReadStream(file, { start, end: stop })) {
    if (response.destroyed) return;
    onBytes(chunk.length);
    await new Promise((resolve) => response.write(chunk, resolve));
    if (rate) await new Promise((resolve) => setTimeout(resolve, (1000 * chunk.length) / rate));
  }
  if (stop === end) return void response.end();
  // The browser reads what was sent before.
  await new Promise((resolve) => setTimeout(resolve, 300));
  response.destroy();
}
