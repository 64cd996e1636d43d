// A static web server on 127.0.0.1 that behaves like various hosts.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export const PAGE = '<!doctype html>\n<html><body><div id="app"></div></body></html>';

/** How a host differs from one with ranges and 404. */
export interface Habits {
  /** Does not support ranges. */
  noRanges?: boolean;
  /** Answers ranges without a readable Content-Range, or without the size in it. */
  contentRange?: 'none' | 'no size';
  /** Refuses HEAD. */
  noHead?: boolean;
  /** Answers for missing files. */
  missing?: (res: ServerResponse, req: IncomingMessage) => void;
  /** Called first. Returns true if it has answered. */
  before?: (req: IncomingMessage, res: ServerResponse) => boolean;
}

export class WebServer {
  habits: Habits = {};
  /** Requests as `METHOD path`, in order. */
  readonly requests: string[] = [];
  readonly logins = new Set<string | undefined>();
  private readonly server: Server;

  /** @param files contents by path, without a query */
  constructor(private readonly files: ReadonlyMap<string, Uint8Array>) {
    this.server = createServer((req, res) => this.answer(req, res));
  }

  /** @returns the origin */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const address = this.server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : address}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(req: IncomingMessage, res: ServerResponse): void {
    this.requests.push(`${req.method} ${req.url}`);
    this.logins.add(req.headers.authorization);
    const { noRanges, contentRange, noHead, missing, before } = this.habits;
    if (before?.(req, res)) return;
    const file = this.files.get(decodeURIComponent(new URL(req.url ?? '', 'http://x').pathname));
    if (!file) {
      if (missing) missing(res, req);
      else res.writeHead(404).end();
      return;
    }
    if (req.method === 'HEAD') {
      res.writeHead(noHead ? 405 : 200, { 'content-length': file.length }).end();
      return;
    }
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') ?? [];
    if (first === undefined || noRanges) {
      res.writeHead(200, { 'content-length': file.length }).end(file);
      return;
    }
    const size = contentRange === 'no size' ? '*' : file.length;
    const end = last ? Number(last) : file.length - 1;
    const header = { 'content-range': `bytes ${first}-${end}/${size}` };
    const bytes = file.subarray(Number(first), end + 1);
    // Without a length the response is sent in chunks.
    res.writeHead(206, contentRange === 'none' ? { 'content-length': bytes.length } : header);
    res.end(bytes);
  }
}
