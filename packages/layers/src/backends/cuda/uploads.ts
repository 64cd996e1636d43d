// Uploads to the GPU, through pinned memory if that avoids waiting.
import type { SharedBlock } from './device.js';
import { type Gpu, synchronize } from './gpu.js';
import type { AllocateHost } from './host_memory.js';

/** Half of the staging buffer. */
const HALF_BYTES = 8 << 20;
/** Slots for uploads of few bytes, in the pinned memory after the staging buffer. */
const SLOTS_AT = 2 * HALF_BYTES;
const SLOTS = 256;
const SLOT_BYTES = 4096;
/** The driver copies uploads up to this size during the call. */
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

  /** Returns without waiting: a slot is reused only after a synchronize. */
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
      // Double buffering: one half is filled while the other is copied.
      const half = (done / HALF_BYTES) % 2;
      if (half === 0) synchronize(this.gpu);
      this.send(to + done, this.staged(half * HALF_BYTES, part));
    }
    // The caller may change the bytes now.
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
