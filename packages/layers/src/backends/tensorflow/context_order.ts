// Orders our stream with TensorFlow's stream on the same GPU.
//
// TensorFlow does not expose its stream. But an event can stand for all work of a context (CUDA 12.5 and
// later): our stream waits for that event before an op, and the context waits for our stream after it. No
// host thread waits for the GPU.
import type { Driver } from '../cuda/driver.js';

const NO_TIMING = 2;

/** The part of CudaDevice that is used here. */
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

  /** Later work on our stream waits for all earlier work of the context. */
  enter(): void {
    const { driver, context, stream } = this.device;
    driver.call('cuCtxSetCurrent', 'before an op', context);
    if (this.hasContextEvents && driver.try('cuCtxRecordEvent', context, this.before) === 0) {
      driver.call('cuStreamWaitEvent', 'before an op', stream, this.before, 0);
      return;
    }
    this.hasContextEvents = false; // an older driver: synchronize, which is slower
    driver.call('cuCtxSynchronize', 'before an op');
  }

  /** Later work of the context waits for our stream. */
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
