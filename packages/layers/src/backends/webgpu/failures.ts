// Errors of a device. WebGPU reports them after the calls that caused them, so the first one is kept until a result
// is read.
import { BackendError } from '../../errors.js';
import { GpuDeviceLostError, GpuOutOfMemoryError } from './errors.js';

/** How long the reason of a broken read may arrive after it, in milliseconds. */
const REPORT_MS = 100;

export class Failures {
  /** Errors that the device has reported: of validation, of memory. */
  count = 0;
  private first: BackendError | undefined;
  private lost: GpuDeviceLostError | undefined;
  private readonly whenLost: Promise<unknown>;

  /** @param onOutOfMemory called before an allocation's failure is thrown */
  constructor(
    device: GPUDevice,
    private readonly onOutOfMemory: () => void,
  ) {
    device.addEventListener('uncapturederror', ({ error }) => this.add(error));
    this.whenLost = device.lost.then(
      ({ reason, message }) => {
        this.lost = new GpuDeviceLostError(message || reason);
      },
      () => undefined,
    );
  }

  get isLost(): boolean {
    return this.lost !== undefined;
  }

  /** @throws GpuDeviceLostError if the device is gone: it would ignore every call */
  throwIfLost(): void {
    if (this.lost) throw this.lost;
  }

  /** @throws BackendError for the first error since the last call; those after it follow from it */
  throwFirst(): void {
    this.throwIfLost();
    const { first } = this;
    this.first = undefined;
    if (first) throw first;
  }

  /** @throws BackendError why a result could not be read */
  async throwReason(cause: unknown): Promise<never> {
    await Promise.race([
      this.whenLost,
      new Promise((resolve) => {
        setTimeout(resolve, REPORT_MS);
      }),
    ]);
    this.throwFirst();
    throw new BackendError("the backend 'webgpu' cannot read a result", { cause });
  }

  private add(error: GPUError): void {
    this.count++;
    const isMemory = error instanceof GPUOutOfMemoryError;
    if (isMemory) this.onOutOfMemory();
    this.first ??= isMemory
      ? new GpuOutOfMemoryError(undefined, error.message)
      : new BackendError(`webgpu: ${error.message}`);
  }
}
