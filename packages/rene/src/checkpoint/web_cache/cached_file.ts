// A file that is downloaded once into a store, and read from there while it arrives.
import { CheckpointError } from '../../errors.js';
import { type ByteSource, checkRange } from '../byte_source.js';
import { shownUrl } from '../model_names.js';
import { BrokenError, brokenError, mayPass } from '../web_request.js';
import { isQuotaError, type PartStore } from './part_store.js';
import { copy, RecentParts } from './recent_parts.js';

/** Reads a response's bytes. */
export type ByteReader = Pick<ReadableStreamDefaultReader<Uint8Array>, 'read' | 'cancel'>;

/** Bytes that are read at a time. */
const READ_BYTES = 1 << 20;

/**
 * Reads a response's bytes, into one buffer where the browser can. What was read is valid until the next read.
 * Reads throw BrokenError.
 *
 * @param skipped bytes at the beginning that are left out
 */
export function byteReader(url: string, body: ReadableStream<Uint8Array>, skipped = 0): ByteReader {
  const reader = bufferedReader(body);
  let left = skipped;
  return {
    async read() {
      for (;;) {
        const read = await reader.read().catch((error: unknown) => {
          throw brokenError(url, error);
        });
        if (read.done || left === 0) return read;
        const value = read.value.subarray(left);
        left -= Math.min(left, read.value.length);
        if (value.length > 0) return { done: false, value };
      }
    },
    cancel: () => reader.cancel(),
  };
}

function bufferedReader(body: ReadableStream<Uint8Array>): ByteReader {
  let buffer = new ArrayBuffer(READ_BYTES);
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: 'byob' });
  } catch {
    return body.getReader();
  }
  return {
    async read() {
      const { value } = await reader.read(new Uint8Array(buffer));
      if (!value?.length) return { done: true, value: undefined };
      buffer = value.buffer;
      return { done: false, value };
    },
    cancel: () => reader.cancel(),
  };
}

export interface CachedFileOptions {
  readonly url: string;
  readonly key: string;
  readonly store: PartStore;
  readonly size: number;
  /** Bytes that the store has. */
  readonly stored: number;
  /** Called with the number of bytes that have arrived. */
  onBytes(bytes: number): void;
  /** Reopens a broken connection. */
  reopen(position: number): Promise<ByteReader>;
  /** Resolves when the small files that were read before are stored. */
  settled(): Promise<unknown>;
  /** Waits before a retry. */
  wait(tries: number): Promise<void>;
  /** Called once, when the store is full. Reads the rest in another way. */
  withoutStore(error: unknown): Promise<ByteSource>;
  /** Called when the download has ended, in one way or the other. */
  onEnd(): void;
}

const MAXIMUM_TRIES = 5;

export class CachedFile implements ByteSource {
  readonly name: string;
  readonly size: number;
  /** Bytes in whole parts of the store. */
  private inStore: number;
  /** The part that is being received. */
  private current: Uint8Array<ArrayBuffer>;
  private readonly partBytes: number;
  private filled = 0;
  private failure: unknown;
  private substitute: Promise<ByteSource> | undefined;
  private waiting: (() => void)[] = [];
  private readonly parts: RecentParts;
  private reader: ByteReader | undefined;
  private closed = false;
  /** Resolves after the last write. */
  private ended: Promise<void> = Promise.resolve();

  /** @param reader of the bytes after those that the store has; undefined if it has all */
  constructor(
    private readonly options: CachedFileOptions,
    reader: ByteReader | undefined,
  ) {
    this.name = shownUrl(options.url);
    this.size = options.size;
    this.partBytes = options.store.partBytes;
    this.parts = new RecentParts(options.store, options.key);
    this.current = reader ? this.parts.buffer() : new Uint8Array(0);
    this.inStore = reader
      ? Math.floor(options.stored / this.partBytes) * this.partBytes
      : options.size;
    options.onBytes(options.stored);
    if (reader) this.ended = this.download(reader);
    else options.onEnd();
  }

  async read(start: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    checkRange(this.name, this.size, start, length);
    const bytes = into ?? new Uint8Array(length);
    for (let filled = 0; filled < length; ) {
      filled += await this.readPart(start + filled, bytes.subarray(filled));
    }
    return bytes;
  }

  /** Stops a download. The bytes that have arrived are then in the store. */
  async close(): Promise<void> {
    this.closed = true;
    this.parts.clear();
    await this.reader?.cancel().catch(() => {});
    await this.ended;
    await this.options.settled();
    if (!this.substitute) return;
    await (await this.substitute.catch(() => undefined))?.close();
    // An incomplete file without a way to resume it.
    await this.options.store.remove(this.options.key);
  }

  /** Copies bytes from a position on. Waits until some have arrived. @returns how many */
  private async readPart(start: number, into: Uint8Array): Promise<number> {
    for (;;) {
      if (start < this.inStore) return this.fromStore(start, into);
      const here = start - this.inStore;
      if (here < this.filled) return copy(this.current.subarray(here, this.filled), into);
      if (this.substitute)
        return copy(await (await this.substitute).read(start, into.length), into);
      if (this.failure !== undefined) throw this.failure;
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  private async fromStore(start: number, into: Uint8Array): Promise<number> {
    const index = Math.floor(start / this.partBytes);
    const copied = await this.parts.read(index, start - index * this.partBytes, into);
    if (copied === 0) {
      throw new CheckpointError(
        `${this.name}: its copy in the browser's storage is gone; load it again`,
      );
    }
    return copied;
  }

  private async download(first: ByteReader): Promise<void> {
    const { store, key, stored, reopen, wait, withoutStore, onEnd } = this.options;
    this.reader = first;
    try {
      // The part that an earlier download did not complete.
      const rest =
        stored > this.inStore ? await store.part(key, this.inStore / this.partBytes) : undefined;
      if (rest) this.current.set(new Uint8Array(await rest.arrayBuffer()));
      this.filled = rest?.size ?? 0;
      for (let tries = 0; ; tries++) {
        const before = this.position;
        try {
          this.reader ??= await reopen(before);
          if (this.closed) await this.reader.cancel();
          await this.receive();
          if (this.position === this.size) break;
          throw new BrokenError(
            `${this.name}: expected ${this.size} bytes, found ${this.position}`,
          );
        } catch (error) {
          if (this.position > before) tries = 0;
          if (this.closed || !mayPass(error) || tries >= MAXIMUM_TRIES) throw error;
          this.reader = undefined;
          await this.keepPart();
          await wait(tries);
        }
      }
    } catch (error) {
      if (isQuotaError(error)) {
        this.reader?.cancel().catch(() => {});
        this.substitute = withoutStore(error);
        this.substitute.catch(() => {});
      } else {
        await this.keepPart().catch(() => {});
        this.failure = error;
      }
    } finally {
      onEnd();
      this.wake();
    }
  }

  private get position(): number {
    return this.inStore + this.filled;
  }

  /** Reads to the end of the stream. */
  private async receive(): Promise<void> {
    for (;;) {
      const read = await this.reader?.read();
      if (!read || read.done) return;
      for (let at = 0; at < read.value.length; ) {
        const piece = read.value.subarray(at, at + this.partBytes - this.filled);
        this.current.set(piece, this.filled);
        this.filled += piece.length;
        at += piece.length;
        if (this.filled === this.partBytes) await this.endPart();
      }
      this.options.onBytes(this.position);
      this.wake();
      if (this.position === this.size) {
        await this.keepPart();
        this.finish();
        return;
      }
    }
  }

  /** Writes the current part, which may be incomplete. */
  private async keepPart(): Promise<void> {
    const { store, key } = this.options;
    if (this.filled === 0) return;
    await store.setPart(key, this.inStore / this.partBytes, this.current.subarray(0, this.filled));
  }

  private async endPart(): Promise<void> {
    const { store, key } = this.options;
    const index = this.inStore / this.partBytes;
    await store.setPart(key, index, this.current);
    this.parts.put(index, this.current);
    this.current = this.parts.buffer();
    this.inStore += this.partBytes;
    this.filled = 0;
  }

  private finish(): void {
    const last = this.current.subarray(0, this.filled);
    if (this.filled > 0) this.parts.put(this.inStore / this.partBytes, last);
    this.inStore = this.size;
    this.filled = 0;
  }

  private wake(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}
