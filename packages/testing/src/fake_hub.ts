// A fake Hugging Face hub on 127.0.0.1 that injects faults and counts what it sends.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A fault of one response. */
export type Fault =
  | { status: number; headers?: Record<string, string> }
  /** Sends this many bytes, then breaks the connection. */
  | { breakAfter: number }
  /** Sends ten parts over this many milliseconds. */
  | { slowly: number }
  /** Sends this many bytes, then nothing, and keeps the connection open. */
  | { stallAfter: number }
  /** Ends after this many bytes, and claims that they are all. */
  | { truncateTo: number }
  /** Sends other bytes than the file's. */
  | { corrupt: true }
  /** Ignores the Range header. */
  | { ignoreRange: true }
  /** Responds to a Range request as if the whole file had been requested. */
  | { wrongRange: true };

export interface FakeRepo {
  files: Map<string, Uint8Array>;
  /** Files above this size are on a storage server: a redirect, with a SHA-256 as ETag. */
  largeFrom: number;
}

export class FakeHub {
  readonly repos = new Map<string, FakeRepo>();
  /** Requests as `METHOD path`, in order. */
  readonly requests: string[] = [];
  /** The Host header (which determines the origin) and the token of each request to the hub. */
  readonly seen: { host: string; path: string; token: string | undefined }[] = [];
  /** The Location to which a request is redirected; undefined for no redirect. */
  redirect: (method: string, path: string) => string | undefined = () => undefined;
  /** Headers of a file that replace the usual ones. Undefined removes a header. */
  headers: (name: string) => Readonly<Record<string, string | undefined>> = () => ({});
  /** Received Authorization headers, by server. */
  readonly tokens = { hub: new Set<string>(), storage: new Set<string>() };
  /** Sent bytes of file content, by file name. */
  readonly sent = new Map<string, number>();
  /** Received Accept-Encoding headers. */
  readonly encodings = new Set<string>();
  requiredToken: string | undefined;
  commit = 'a'.repeat(40);
  private readonly faults: { pattern: RegExp; fault: Fault }[] = [];
  private readonly hub = createServer((req, res) => this.answer(req, res));
  private readonly storage = createServer((req, res) => this.answerStorage(req, res));

  private tls: ReturnType<typeof createTlsServer> | undefined;

  async start(): Promise<void> {
    for (const server of [this.hub, this.storage]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
  }

  /** Also listens with https on another port. @returns the port */
  async startTls(options: ServerOptions): Promise<number> {
    this.tls = createTlsServer(options, (req, res) => this.answer(req, res));
    await new Promise<void>((resolve) => this.tls?.listen(0, '127.0.0.1', resolve));
    return Number(new URL(originOf(this.tls)).port);
  }

  async stop(): Promise<void> {
    for (const server of [this.hub, this.storage, ...(this.tls ? [this.tls] : [])]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  get endpoint(): string {
    return originOf(this.hub);
  }

  get storageEndpoint(): string {
    return originOf(this.storage);
  }

  add(repo: string, files: Readonly<Record<string, Uint8Array | string>>, largeFrom = 1000): void {
    const bytes = Object.entries(files).map(([name, content]): [string, Uint8Array] => [
      name,
      typeof content === 'string' ? new TextEncoder().encode(content) : Uint8Array.from(content),
    ]);
    this.repos.set(repo, { files: new Map(bytes), largeFrom });
  }

  /** The ETag of a file on the storage server. */
  etagOf(repo: string, name: string): string {
    return sha256Of(this.repos.get(repo)?.files.get(name) ?? new Uint8Array(0));
  }

  /** The next responses to matching requests (`METHOD path`) fail, one fault each. */
  fail(pattern: RegExp, ...faults: Fault[]): void {
    this.faults.push(...faults.map((fault) => ({ pattern, fault })));
  }

  private answer(req: IncomingMessage, res: ServerResponse): ServerResponse {
    const { method = '', url = '', headers } = req;
    const path = decodeURIComponent(url.split('?', 1)[0] ?? '');
    this.note('hub', req);
    this.seen.push({ host: headers.host ?? '', path: url, token: headers.authorization });
    const location = this.redirect(method, url);
    if (location !== undefined) return reply(res, 302, '', { location });
    const fault = this.takeFault(req);
    if (fault && 'status' in fault) return reply(res, fault.status, '', fault.headers);
    if (this.requiredToken && req.headers.authorization !== `Bearer ${this.requiredToken}`) {
      return reply(res, 401, '');
    }
    const api = /^\/api\/models\/([^/]+(?:\/[^/]+)?)\/revision\/(.+)$/.exec(path);
    const file = /^(?:\/moved)?\/([^/]+(?:\/[^/]+)?)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const repo = this.repos.get((api ?? file)?.[1] ?? '');
    if (!repo) return reply(res, 404, '', { 'x-error-message': 'Repository not found' });
    if (api) {
      const siblings = [...repo.files.keys()].map((rfilename) => ({ rfilename }));
      return reply(res, 200, JSON.stringify({ id: api[1], sha: this.commit, siblings }));
    }
    const name = file?.[3] ?? '';
    const content = repo.files.get(name);
    const isHere = file?.[2] === this.commit || file?.[2] === 'main';
    if (!content || !isHere) return reply(res, 404, '');
    res.setHeader('x-repo-commit', this.commit);
    if (content.length < repo.largeFrom) {
      const sha1 = createHash('sha1').update(`blob ${content.length}\0`).update(content);
      res.setHeader('etag', `"${sha1.digest('hex')}"`);
      for (const [header, value] of Object.entries(this.headers(name))) {
        if (value === undefined) res.removeHeader(header);
        else res.setHeader(header, value);
      }
      return this.send(req, res, name, content, fault);
    }
    const sha256 = sha256Of(content);
    return reply(res, 302, '', {
      location: `${originOf(this.storage)}/${encodeURIComponent(`${file[1]}`)}/${name}`,
      'x-linked-etag': `"${sha256}"`,
      'x-linked-size': `${content.length}`,
      etag: '"of-the-redirect"',
    });
  }

  private answerStorage(req: IncomingMessage, res: ServerResponse): ServerResponse {
    this.note('storage', req);
    const [, repo = '', name = ''] = (req.url ?? '').split('/');
    const content = this.repos.get(decodeURIComponent(repo))?.files.get(name);
    const fault = this.takeFault(req);
    if (fault && 'status' in fault) return reply(res, fault.status, '', fault.headers);
    if (!content) return reply(res, 404, '');
    return this.send(req, res, name, content, fault);
  }

  private send(
    req: IncomingMessage,
    res: ServerResponse,
    name: string,
    content: Uint8Array,
    fault: Fault | undefined,
  ): ServerResponse {
    const range = /^bytes=(\d+)-$/.exec(req.headers.range ?? '');
    const ignored = fault && ('ignoreRange' in fault || 'wrongRange' in fault);
    const start = range && !ignored ? Number(range[1]) : 0;
    if (start >= content.length && start > 0) return reply(res, 416, '');
    let body = content.slice(start);
    if (fault && 'corrupt' in fault) body.fill(0x58);
    if (fault && 'truncateTo' in fault) body = body.slice(0, fault.truncateTo);
    const end = content.length - 1;
    const isPart = start > 0 || (fault && 'wrongRange' in fault);
    if (isPart) res.setHeader('content-range', `bytes ${start}-${end}/${content.length}`);
    res.writeHead(isPart ? 206 : 200, { 'content-length': body.length });
    if (req.method === 'HEAD') return res.end();
    if (fault && 'slowly' in fault) {
      void sendSlowly(res, body, fault.slowly);
      return res;
    }
    if (fault && 'stallAfter' in fault) {
      this.sent.set(name, (this.sent.get(name) ?? 0) + fault.stallAfter);
      res.write(body.slice(0, fault.stallAfter));
      return res;
    }
    const count = fault && 'breakAfter' in fault ? fault.breakAfter : body.length;
    this.sent.set(name, (this.sent.get(name) ?? 0) + count);
    if (count >= body.length) return res.end(body);
    // Time for a client on a busy machine to read what was sent: breaking the connection drops the rest.
    res.write(body.slice(0, count), () => setTimeout(() => res.destroy(), count > 0 ? 150 : 0));
    return res;
  }

  private note(server: 'hub' | 'storage', req: IncomingMessage): void {
    this.requests.push(`${req.method} ${req.url}`);
    this.encodings.add(String(req.headers['accept-encoding']));
    if (req.headers.authorization) this.tokens[server].add(req.headers.authorization);
  }

  private takeFault(req: IncomingMessage): Fault | undefined {
    const i = this.faults.findIndex(({ pattern }) => pattern.test(`${req.method} ${req.url}`));
    return i < 0 ? undefined : this.faults.splice(i, 1)[0]?.fault;
  }
}

function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

async function sendSlowly(res: ServerResponse, body: Uint8Array, ms: number): Promise<void> {
  const part = Math.ceil(body.length / 10);
  for (let start = 0; start < body.length; start += part) {
    await sleep(ms / 10);
    res.write(body.slice(start, start + part));
  }
  res.end();
}

function originOf(server: { address(): AddressInfo | string | null }): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server is not running');
  return `http://127.0.0.1:${address.port}`;
}

function reply(
  res: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): ServerResponse {
  return res.writeHead(status, headers).end(body);
}
