// Uploads to the GPU, through pinned memory where that saves waiting.
import type { SharedBlock } from './device.js';
import { type Gpu, synchronize } from './gpu.js';
import type { AllocateHost } from './host_memory.js';

/** A staging buffer's half. */
const HALF_BYTES = 8 << 20;
/** Uploads of few bytes: each has a slot of the pinned memory behind the staging buffer. */
const SLOTS_AT = 2 * HALF_BYTES;
const SLOTS = 256;
const SLOT_BYTES = 4096;
/** Uploads up to this size the driver takes along with the call. */
const SMALL_UPLOAD = 64 << 10;

export class Uploads {
  private readonly pinned: SharedBlock;
  /** The next slot for few bytes. */
  private slot = 0;

  constructor(
    private readonly gpu: Gpu,
    allocate: AllocateHost,
  ) {
    this.pinned = allocate(SLOTS_AT + SLOTS * SLOT_BYTES);
  }

  /** The caller may change the bytes afterwards. */
  upload(to: number, bytes: Uint8Array): void {
    if (bytes.length <= SLOT_BYTES) this.uploadFew(to, bytes);
    else this.uploadMany(to, bytes);
  }

  dispose(): void {
    this.pinned.free();
  }

  /** Nobody waits: the slot is used again after the stream was waited for. */
  private uploadFew(to: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (this.slot === SLOTS) {
      synchronize(this.gpu);
      this.slot = 0;
    }
    this.send(to, this.staged(SLOTS_AT + this.slot++ * SLOT_BYTES, bytes));
  }

  private uploadMany(to: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; done += HALF_BYTES) {
      const part = bytes.subarray(done, done + HALF_BYTES);
      if (part.length <= SMALL_UPLOAD) {
        this.send(to + done, part);
        continue;
      }
      // In turns: one half is filled while the other is on its way.
      const half = (done / HALF_BYTES) % 2;
      if (half === 0) synchronize(this.gpu);
      this.send(to + done, this.staged(half * HALF_BYTES, part));
    }
    // The caller may reuse his memory.
    synchronize(this.gpu);
  }

  /** The bytes in pinned memory. */
  private staged(at: number, bytes: Uint8Array): Uint8Array {
    const staged = this.pinned.bytes.subarray(at, at + bytes.length);
    staged.set(bytes);
    return staged;
  }

  private send(to: number, bytes: Uint8Array): void {
    const { driver, stream } = this.gpu;
    driver.call('cuMemcpyHtoDAsync_v2', 'uploading', to, bytes, bytes.length, stream);
  }
}
