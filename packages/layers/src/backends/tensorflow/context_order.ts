// Keeps our stream in order with TensorFlow's on the same GPU.
//
// TensorFlow does not say which stream it works on. But an event can stand for all work of a context,
// whoever gave it (CUDA 12.5 and later): our stream waits for that, and what the context is given
// afterwards waits for our stream. No thread of the host waits for the GPU.
import type { Driver } from '../cuda/driver.js';

const NO_TIMING = 2;

/** A CudaDevice, as far as it matters here. */
export interface OrderedDevice {
  readonly driver: Pick<Driver, 'call' | 'try' | 'has'>;
  readonly context: bigint;
  readonly stream: bigint;
  synchronize(): void;
}

export class ContextOrder {
  private readonly before: bigint;
  private readonly after: bigint;
  private hasContextEvents: boolean;

  constructor(private readonly device: OrderedDevice) {
    const { driver } = device;
    this.hasContextEvents =
      driver.has('cuCtxRecordEvent') &&
      driver.has('cuCtxWaitEvent') &&
      driver.has('cuStreamWaitEvent');
    this.before = this.newEvent();
    this.after = this.newEvent();
  }

  /** From here on our stream comes after all that the GPU was given. */
  enter(): void {
    const { driver, context, stream } = this.device;
    driver.call('cuCtxSetCurrent', 'before an op', context);
    if (this.hasContextEvents && driver.try('cuCtxRecordEvent', context, this.before) === 0) {
      driver.call('cuStreamWaitEvent', 'before an op', stream, this.before, 0);
      return;
    }
    this.hasContextEvents = false; // an older driver: wait, which is slow but right
    driver.call('cuCtxSynchronize', 'before an op');
  }

  /** What the GPU is given from here on comes after our stream. */
  leave(): void {
    const { driver, context, stream } = this.device;
    if (!this.hasContextEvents) {
      this.device.synchronize();
      return;
    }
    driver.call('cuEventRecord', 'after an op', this.after, stream);
    driver.call('cuCtxWaitEvent', 'after an op', context, this.after);
  }

  private newEvent(): bigint {
    const handle = new BigUint64Array(16);
    this.device.driver.call('cuEventCreate', 'making an event', handle, NO_TIMING);
    return handle[0] ?? 0n;
  }
}
