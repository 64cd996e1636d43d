// Launches kernels by name: looks them up in the module and writes their arguments for the driver.
import { BackendError } from '../../errors.js';
import type { Launch, SharedBlock } from './device.js';
import type { Gpu } from './gpu.js';
import type { AllocateHost } from './host_memory.js';

const MAX_DYNAMIC_SHARED_BYTES = 8;
/** Static shared memory of a kernel, rounded up. */
const STATIC_SHARED_BYTES = 10 << 10;
const MOST_ARGUMENT_BYTES = 4096;
/** The address of the arguments, followed by the arguments. */
const ARGUMENTS_AT = 8;
/** For cuLaunchKernelEx: its CUlaunchConfig and one CUlaunchAttribute, after the arguments. */
const LAUNCH_CONFIG_AT = 3840;
const LAUNCH_ATTRIBUTE_AT = 3968;
const PROGRAMMATIC_STREAM_SERIALIZATION = 6;

interface KernelFunction {
  handle: bigint;
  /** Size of its argument struct; undefined if the driver does not report it. */
  argumentBytes: number | undefined;
}

export class KernelLauncher {
  private readonly functions = new Map<string, KernelFunction>();
  private readonly pinned: SharedBlock;
  private readonly address: bigint;
  private readonly view: DataView;

  constructor(
    private readonly gpu: Gpu,
    allocate: AllocateHost,
  ) {
    this.pinned = allocate(MOST_ARGUMENT_BYTES);
    const { address, bytes } = this.pinned;
    this.address = BigInt(address);
    this.view = new DataView(bytes.buffer, bytes.byteOffset);
    this.view.setBigUint64(0, this.address + BigInt(ARGUMENTS_AT), true);
    if (gpu.overlaps) this.describeOverlap();
  }

  /**
   * Loads a kernel and writes its arguments; returns its handle for run().
   *
   * @throws CudaError naming the kernel
   */
  prepare(
    kernel: string,
    pointers: readonly number[],
    integers: readonly number[],
    floats: readonly number[],
  ): bigint {
    const { handle, argumentBytes } = this.functions.get(kernel) ?? this.find(kernel);
    const { view } = this;
    let at = ARGUMENTS_AT;
    for (const pointer of pointers) {
      view.setUint32(at, pointer >>> 0, true);
      view.setUint32(at + 4, pointer / 2 ** 32, true);
      at += 8;
    }
    for (const integer of integers) {
      view.setInt32(at, integer, true);
      at += 4;
    }
    for (const float of floats) {
      view.setFloat32(at, float, true);
      at += 4;
    }
    const bytes = Math.ceil((at - ARGUMENTS_AT) / 8) * 8;
    if (argumentBytes !== undefined && bytes !== Math.ceil(argumentBytes / 8) * 8) {
      throw new BackendError(
        `kernel ${kernel}: expected ${argumentBytes} bytes of arguments, found ${bytes}`,
      );
    }
    return handle;
  }

  /**
   * Launches the kernel that was prepared last.
   *
   * @throws CudaError naming the kernel
   */
  run(
    kernel: string,
    handle: bigint,
    { grid: [x, y = 1, z = 1], block, sharedBytes = 0 }: Launch,
  ): void {
    const { driver, stream, overlaps } = this.gpu;
    const error = overlaps
      ? this.runOverlapping(handle, [x, y, z, block, 1, 1, sharedBytes])
      : driver.try(
          'cuLaunchKernel',
          ...[handle, x, y, z, block, 1, 1, sharedBytes, stream, this.address, 0],
        );
    if (error !== 0) {
      const size = `grid ${x} x ${y} x ${z}, ${block} threads, ${sharedBytes} bytes shared`;
      throw driver.error(error, `kernel ${kernel} (${size})`, 'cuLaunchKernel');
    }
  }

  dispose(): void {
    this.pinned.free();
  }

  /** Constant launch settings: the stream and permission to overlap. */
  private describeOverlap(): void {
    const { view } = this;
    view.setBigUint64(LAUNCH_CONFIG_AT + 32, this.gpu.stream, true);
    view.setBigUint64(LAUNCH_CONFIG_AT + 40, this.address + BigInt(LAUNCH_ATTRIBUTE_AT), true);
    view.setUint32(LAUNCH_CONFIG_AT + 48, 1, true);
    view.setUint32(LAUNCH_ATTRIBUTE_AT, PROGRAMMATIC_STREAM_SERIALIZATION, true);
    view.setInt32(LAUNCH_ATTRIBUTE_AT + 8, 1, true);
  }

  private runOverlapping(handle: bigint, sizes: readonly number[]): number {
    sizes.forEach((size, i) => {
      this.view.setUint32(LAUNCH_CONFIG_AT + 4 * i, size, true);
    });
    const config = this.address + BigInt(LAUNCH_CONFIG_AT);
    return this.gpu.driver.try('cuLaunchKernelEx', config, handle, this.address, 0);
  }

  private find(kernel: string): KernelFunction {
    const { driver, module, sharedBytes } = this.gpu;
    const handles = new BigUint64Array(16);
    const what = `kernel ${kernel}`;
    driver.call('cuModuleGetFunction', what, handles, module, kernel);
    const handle = handles[0] ?? 0n;
    const most = sharedBytes - STATIC_SHARED_BYTES;
    driver.call('cuFuncSetAttribute', what, handle, MAX_DYNAMIC_SHARED_BYTES, most);
    const sizes = new BigUint64Array(16);
    const known =
      driver.has('cuFuncGetParamInfo') &&
      driver.try('cuFuncGetParamInfo', handle, 0, handles, sizes) === 0;
    const found = { handle, argumentBytes: known ? Number(sizes[0]) : undefined };
    this.functions.set(kernel, found);
    return found;
  }
}
