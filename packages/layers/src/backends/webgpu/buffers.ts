// GPU buffers as addresses: WebGPU has no pointers, so an address is a buffer's number and an offset.
import { BackendError } from '../../errors.js';
import type { Address } from '../native/address.js';

const SPAN = 2 ** 32;

/** A place in a buffer. */
export interface Place {
  buffer: GPUBuffer;
  /** Bytes. */
  offset: number;
}

export class Buffers {
  private readonly numbers = new WeakMap<GPUBuffer, number>();
  /** Weak references: a buffer's owner keeps it alive. */
  private readonly buffers = new Map<number, WeakRef<GPUBuffer>>();
  private readonly collected = new FinalizationRegistry<number>((n) => this.buffers.delete(n));
  private last = 0;

  /** The address of a buffer's first byte. */
  addressOf(buffer: GPUBuffer): Address {
    let number = this.numbers.get(buffer);
    if (number === undefined) {
      number = ++this.last;
      this.numbers.set(buffer, number);
      this.buffers.set(number, new WeakRef(buffer));
      this.collected.register(buffer, number);
    }
    return number * SPAN;
  }

  at(address: Address): Place {
    const buffer = this.buffers.get(Math.floor(address / SPAN))?.deref();
    if (!buffer)
      throw new BackendError("a buffer of the backend 'webgpu' is used after its release");
    return { buffer, offset: address % SPAN };
  }
}
