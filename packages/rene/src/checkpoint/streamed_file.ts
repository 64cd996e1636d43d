// A file on a web server, read through few long requests: reads that follow one another share one.
import { CheckpointError } from '../errors.js';
import { type ByteSource, checkRange } from './byte_source.js';
import { shownUrl } from './model_names.js';
import { Missing, type WebFileOptions } from './web_file_options.js';
import { ask, backOff, brokenError, mayPass, PLAIN, validatorOf } from './web_request.js';

/** Maximum number of open requests: one for each region of the file, such as values and scales. */
const MAXIMUM_STREAMS = 4;
/** A gap of up to this many bytes is skipped without a new request. */
const MAXIMUM_SKIP = 1 << 20;
/** Attempts to resume a broken connection without receiving a byte. */
const MAXIMUM_TRIES = 3;

/** An open response. */
interface Stream {
  position: number;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  /** Bytes that have arrived and were not read. */
  rest: Uint8Array;
}

export class StreamedFile implements ByteSource {
  readonly name: string;
  /** The last used one is the last. */
  private streams: Stream[] = [];
  private last: Promise<unknown> = Promise.resolve();
  private told = 0;

  /**
   * @param first a response that begins at byte 0, if one is open
   * @param validator of the version that is read
   */
  constructor(
    private readonly url: string,
    readonly size: number,
    private readonly validator: string | undefined,
    private readonly options: WebFileOptions,
    first?: { reader: ReadableStreamDefaultReader<Uint8Array>; rest: Uint8Array },
  ) {
    this.name = shownUrl(url);
    if (first) this.streams.push({ position: 0, ...first });
  }

  async read(start: number, length: number): Promise<Uint8Array> {
    checkRange(this.name, this.size, start, length);
    if (length === 0) return new Uint8Array(0);
    // One after the other: each advances a stream.
    const result = this.last.then(() => this.readNow(start, length));
    this.last = result.catch(() => {});
    return result;
  }

  async close(): Promise<void> {
    const { streams } = this;
    this.streams = [];
    for (const { reader } of streams) await reader.cancel().catch(() => {});
  }

  private async readNow(start: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let filled = 0;
    for (let tries = 0; ; ) {
      const before = filled;
      let stream: Stream | undefined;
      try {
        stream = await this.streamAt(start + filled);
        while (filled < length) {
          const part = await this.next(stream, length - filled);
          bytes.set(part, filled);
          filled += part.length;
        }
        return bytes;
      } catch (error) {
        this.options.signal?.throwIfAborted();
        this.drop(stream);
        tries = filled > before ? 0 : tries + 1;
        if (!mayPass(error) || tries > MAXIMUM_TRIES) throw error;
        await backOff(tries, this.options);
      } finally {
        this.tell(start + filled);
      }
    }
  }

  /** A stream that is at a position. */
  private async streamAt(position: number): Promise<Stream> {
    const near = this.streams.filter((stream) => {
      const ahead = position - stream.position;
      return ahead >= 0 && ahead <= MAXIMUM_SKIP;
    });
    const found = near.sort((a, b) => b.position - a.position)[0];
    const stream = found ?? (await this.open(position));
    this.streams = [...this.streams.filter((each) => each !== stream), stream];
    while (stream.position < position) await this.next(stream, position - stream.position);
    return stream;
  }

  private async open(position: number): Promise<Stream> {
    for (const old of this.streams.slice(0, 1 - MAXIMUM_STREAMS)) this.drop(old);
    const headers = { ...PLAIN, range: `bytes=${position}-` };
    const response = await ask(this.url, this.options, headers, { cache: 'no-store' });
    let found = response instanceof Missing ? response.why : `HTTP ${response.status}`;
    const told = response instanceof Missing ? null : response.headers.get('content-range');
    const isElsewhere = told !== null && !told.startsWith(`bytes ${position}-`);
    if (isElsewhere) found = `'${told}'`;
    if (response instanceof Missing || response.status !== 206 || !response.body || isElsewhere) {
      throw new CheckpointError(`${this.name}: expected bytes from ${position} on, found ${found}`);
    }
    const validator = validatorOf(response);
    const isOther = validator !== undefined && this.validator !== undefined;
    if (isOther && validator !== this.validator) {
      await response.body.cancel();
      throw new CheckpointError(`${this.name}: it changed while it was read; load it again`);
    }
    return { position, reader: response.body.getReader(), rest: new Uint8Array(0) };
  }

  private drop(stream: Stream | undefined): void {
    this.streams = this.streams.filter((each) => each !== stream);
    stream?.reader.cancel().catch(() => {});
  }

  private tell(position: number): void {
    this.told = Math.max(this.told, position);
    const file = this.name.replace(/.*\//, '');
    this.options.onProgress?.({ file, bytes: this.told, totalBytes: this.size });
  }

  /** The next bytes of a stream, at most so many. @throws BrokenError at its end */
  private async next(stream: Stream, most: number): Promise<Uint8Array> {
    while (stream.rest.length === 0) {
      const { done, value } = await stream.reader.read().catch((error: unknown) => {
        throw brokenError(this.url, error);
      });
      if (done) throw brokenError(this.url, new Error(`it ended at byte ${stream.position}`));
      stream.rest = value;
    }
    const part = stream.rest.subarray(0, most);
    stream.rest = stream.rest.subarray(part.length);
    stream.position += part.length;
    return part;
  }
}
