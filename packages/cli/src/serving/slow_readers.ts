// Disconnects clients that do not read their answers, and bounds the memory of unsent answers.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { nextTurn } from '@rene-js/rene/internal';

export interface SlowReaderLimits {
  /** Milliseconds in which a client must read some bytes of its answer. */
  writeTimeout: number;
  /** Maximum unsent bytes of all answers. Beyond it the slowest clients are disconnected. */
  maxUnsent: number;
}

/** Progress of a connection. */
interface Progress {
  sent: number;
  /** Time when bytes were last read, or none were waiting. */
  since: number;
}

/** Size above which answers are written in chunks, as fast as the client reads. */
export const LONG_ANSWER = 64 * 1024;

/** Bytes per write to a socket, so that progress is visible. */
const CHUNK = 64 * 1024;

export class SlowReaders {
  private readonly connections = new Map<Socket, Progress>();
  /** Bytes of long answers that are not yet written to their sockets. */
  private readonly held = new Map<Readable, { socket: Socket; bytes: number }>();

  constructor(private readonly limits: SlowReaderLimits) {}

  /** Watches all connections of a server until it closes. */
  watch(server: Server): void {
    server.on('connection', (socket) => {
      this.connections.set(socket, { sent: 0, since: performance.now() });
      socket.once('close', () => this.connections.delete(socket));
    });
    const interval = Math.min(1000, this.limits.writeTimeout / 4);
    const timer = setInterval(() => this.check(), interval).unref();
    server.once('close', () => clearInterval(timer));
  }

  /** A long answer as a stream of small chunks, which counts its unsent bytes. */
  stream(socket: Socket, buffers: readonly Buffer[]): Readable {
    const entry = { socket, bytes: byteLength(buffers) };
    const stream = Readable.from(counted(buffers, entry), { highWaterMark: 1 });
    this.held.set(stream, entry);
    stream.once('close', () => this.held.delete(stream));
    this.check();
    return stream;
  }

  /** Closes stalled connections, then the slowest ones until the bound is met. */
  check(): void {
    const now = performance.now();
    const unsent = new Map<Socket, number>();
    let total = 0;
    for (const { socket, bytes } of this.held.values()) {
      if (!this.connections.has(socket)) continue; // closed already
      unsent.set(socket, (unsent.get(socket) ?? 0) + bytes);
      total += bytes;
    }
    for (const [socket, progress] of this.connections) {
      const bytes = (unsent.get(socket) ?? 0) + socket.writableLength;
      total += socket.writableLength;
      unsent.set(socket, bytes);
      const sent = socket.bytesWritten - socket.writableLength;
      if (bytes === 0 || sent !== progress.sent) progress.since = now;
      progress.sent = sent;
    }
    const slowest = [...this.connections]
      .filter(([socket]) => (unsent.get(socket) ?? 0) > 0)
      .sort(([, a], [, b]) => a.since - b.since);
    for (const [socket, { since }] of slowest) {
      if (now - since < this.limits.writeTimeout && total <= this.limits.maxUnsent) return;
      total -= unsent.get(socket) ?? 0;
      this.connections.delete(socket);
      socket.resetAndDestroy(); // what the kernel holds is freed too
    }
  }
}

export function byteLength(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, { length }) => sum + length, 0);
}

/** The bytes in chunks, between which other connections are served; `rest.bytes` is the remaining size. */
async function* counted(
  buffers: readonly Buffer[],
  rest: { bytes: number },
): AsyncGenerator<Buffer> {
  let small: Buffer[] = [];
  let size = 0;
  for (const buffer of buffers) {
    for (let start = 0; start < buffer.length; ) {
      const part = buffer.subarray(start, start + CHUNK - size);
      small.push(part);
      size += part.length;
      start += part.length;
      if (size < CHUNK) continue;
      rest.bytes -= size;
      yield Buffer.concat(small);
      await nextTurn();
      small = [];
      size = 0;
    }
  }
  rest.bytes -= size;
  yield Buffer.concat(small);
}
