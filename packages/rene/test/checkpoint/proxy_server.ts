// An HTTP proxy on 127.0.0.1 that resolves host names by a table and records everything that it can read.
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

export class ProxyServer {
  /** First lines of the proxy's requests. */
  readonly requests: string[] = [];
  /** Proxy-Authorization headers. */
  readonly logins: (string | undefined)[] = [];
  /** Everything that clients sent, as text, also inside tunnels. */
  sent = '';
  /** The status with which requests are refused. */
  refusal: number | undefined;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  /** @param ports the local port for each `host:port` */
  constructor(private readonly ports: ReadonlyMap<string, number>) {
    this.server = createServer((req, res) => {
      this.note(req);
      const { host = '' } = new URL(req.url ?? '', 'http://none');
      const port = this.ports.get(host.includes(':') ? host : `${host}:80`);
      if (this.refusal !== undefined || port === undefined) {
        res.writeHead(this.refusal ?? 502).end();
        return;
      }
      const { pathname, search } = new URL(req.url ?? '');
      const options = { port, path: pathname + search, method: req.method, headers: req.headers };
      const onward = request({ host: '127.0.0.1', ...options }, (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(res);
      });
      onward.on('error', () => res.destroy());
      req.pipe(onward);
    });
    this.server.on('connect', (req: IncomingMessage, client: Socket) => this.tunnel(req, client));
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const { port } = this.server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private tunnel(req: IncomingMessage, client: Socket): void {
    this.note(req);
    this.sockets.add(client);
    client.on('error', () => {});
    const port = this.ports.get(req.url ?? '');
    if (this.refusal !== undefined || port === undefined) {
      client.end(`HTTP/1.1 ${this.refusal ?? 502} Refused\r\n\r\n`);
      return;
    }
    const server = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.on('data', (bytes) => {
        this.sent += bytes.toString('latin1');
      });
      client.pipe(server).pipe(client);
    });
    server.on('error', () => client.destroy());
    client.on('close', () => server.destroy());
  }

  private note({ method, url, headers, rawHeaders }: IncomingMessage): void {
    this.requests.push(`${method} ${url}`);
    this.logins.push(headers['proxy-authorization']);
    this.sent += `${method} ${url} ${rawHeaders.join(' ')}`;
  }
}
