// A GPU through CUDA's driver API: its primary context, one stream, the kernels' module.
import { BackendError } from '../../errors.js';
import { emulatedDriver, kernelImage } from './binaries.js';
import { CublasLt, type Product } from './cublas_lt.js';
import type { Device, Graph, Launch, SharedBlock } from './device.js';
import { CudaError } from './device.js';
import { Driver } from './driver.js';
import { viewer } from './native.js';

/** Which device the backend takes. */
export interface CudaOptions {
  /** Which of the GPUs that CUDA_VISIBLE_DEVICES leaves; 0 unless given. */
  device?: number | undefined;
  /**
   * true for the emulated device: the same kernels on the host's processor, slowly, for tests. Never
   * chosen by itself; the environment's RENE_CUDA=emulated asks for it too.
   */
  emulated?: boolean | undefined;
  /**
   * Lets a kernel start, and ask for its weights, while the one before it still runs (programmatic
   * dependent launch; Hopper and later). Off unless given or RENE_CUDA_OVERLAP=1: it has not been
   * tried on a GPU yet.
   */
  overlap?: boolean | undefined;
}

const MULTIPROCESSORS = 16;
const COMPUTE_MAJOR = 75;
const COMPUTE_MINOR = 76;
const SHARED_BYTES_OPT_IN = 97;
const MAX_DYNAMIC_SHARED_BYTES = 8;
const NON_BLOCKING_STREAM = 1;
const MAPPED = 2;
/** Memory may be allocated during a capture. */
const RELAXED_CAPTURE = 2;
const MOST_ARGUMENT_BYTES = 4096;
/** Of cuLaunchKernelEx, behind the arguments: its CUlaunchConfig, and one CUlaunchAttribute. */
const LAUNCH_CONFIG_AT = 3840;
const LAUNCH_ATTRIBUTE_AT = 3968;
const PROGRAMMATIC_STREAM_SERIALIZATION = 6;
/** A staging buffer's half. */
const PINNED_BYTES = 8 << 20;
/** Uploads of few bytes: each has a slot of the pinned memory behind the staging buffer. */
const SLOTS_AT = MOST_ARGUMENT_BYTES + 2 * PINNED_BYTES;
const SLOTS = 256;
const SLOT_BYTES = 4096;
const ALL_PINNED_BYTES = SLOTS_AT + SLOTS * SLOT_BYTES;

interface KernelFunction {
  handle: bigint;
  /** Bytes of its argument struct; undefined where the driver does not say. */
  argumentBytes: number | undefined;
}

export class CudaDevice implements Device {
  isCapturing = false;
  /** Who multiplies matrices of many rows; undefined for kernels of our own. Tests set another. */
  productLibrary: CublasLt | undefined;
  /** The next slot for few bytes. */
  private slot = 0;
  private isRehearsing = false;
  private readonly functions = new Map<string, KernelFunction>();
  private readonly argumentView: DataView;

  private constructor(
    readonly driver: Driver,
    readonly emulated: boolean,
    readonly ordinal: number,
    readonly name: string,
    readonly totalBytes: number,
    readonly multiprocessors: number,
    private readonly sharedBytes: number,
    readonly context: bigint,
    private readonly module: bigint,
    readonly stream: bigint,
    /** Memory outside JavaScript's: the address of the arguments, then they; then staged uploads. */
    private readonly pinned: bigint,
    private readonly pinnedBytes: Uint8Array,
    private readonly view: (address: bigint, bytes: number) => Uint8Array,
    private readonly overlaps: boolean,
  ) {
    this.argumentView = new DataView(pinnedBytes.buffer, pinnedBytes.byteOffset);
    this.argumentView.setBigUint64(0, pinned + 8n, true);
    if (overlaps) this.describeOverlap();
  }

  /**
   * Opens the driver and a GPU.
   *
   * @throws BackendError without a driver or a GPU, or for one before the Ampere generation
   */
  static async open(options: CudaOptions = {}): Promise<CudaDevice> {
    const emulated = options.emulated ?? process.env.RENE_CUDA === 'emulated';
    const driver = await Driver.open(emulated ? emulatedDriver() : 'libcuda.so.1');
    driver.call('cuInit', 'starting', 0);
    const ordinal = options.device ?? 0;
    const wantsOverlap = options.overlap ?? process.env.RENE_CUDA_OVERLAP === '1';
    const integers = new Int32Array(16);
    const wide = new BigUint64Array(16);
    driver.call('cuDeviceGetCount', 'counting GPUs', integers);
    const count = integers[0] ?? 0;
    if (!Number.isInteger(ordinal) || ordinal < 0 || ordinal >= count) {
      throw new BackendError(
        count === 0
          ? "the backend 'cuda' finds no NVIDIA GPU (CUDA_VISIBLE_DEVICES hides those it does not list)"
          : `device: expected a GPU's number below ${count}, found ${ordinal}`,
      );
    }
    driver.call('cuDeviceGet', 'choosing a GPU', integers, ordinal);
    const device = integers[0] ?? 0;
    const attribute = (which: number) => {
      driver.call('cuDeviceGetAttribute', 'asking about the GPU', integers, which, device);
      return integers[0] ?? 0;
    };
    const characters = new Uint8Array(256);
    driver.call('cuDeviceGetName', 'asking about the GPU', characters, 255, device);
    const name = new TextDecoder().decode(characters.subarray(0, characters.indexOf(0)));
    const capability = attribute(COMPUTE_MAJOR) * 10 + attribute(COMPUTE_MINOR);
    if (capability < 80) {
      throw new BackendError(
        `the backend 'cuda' needs a GPU of the Ampere generation or later (compute capability 8.0); ` +
          `'${name}' has ${capability / 10}`,
      );
    }
    driver.call('cuDeviceTotalMem_v2', 'asking about the GPU', wide, device);
    const totalBytes = Number(wide[0]);
    const handle = (
      what: string,
      call: Parameters<Driver['call']>[0],
      ...rest: (bigint | number)[]
    ) => {
      driver.call(call, what, wide, ...rest);
      return wide[0] ?? 0n;
    };
    const context = handle('making a context', 'cuDevicePrimaryCtxRetain', device);
    driver.call('cuCtxSetCurrent', 'making a context', context);
    driver.call('cuModuleLoadData', `loading the kernels on '${name}'`, wide, kernelImage());
    const module = wide[0] ?? 0n;
    const stream = handle('making a stream', 'cuStreamCreate', NON_BLOCKING_STREAM);
    const pinned = handle('allocating', 'cuMemHostAlloc', ALL_PINNED_BYTES, 0);
    const view = await viewer();
    const opened = new CudaDevice(
      driver,
      emulated,
      device,
      name,
      totalBytes,
      attribute(MULTIPROCESSORS),
      attribute(SHARED_BYTES_OPT_IN),
      context,
      module,
      stream,
      pinned,
      view(pinned, ALL_PINNED_BYTES),
      view,
      wantsOverlap && capability >= 90 && driver.has('cuLaunchKernelEx'),
    );
    // The library computes on a GPU alone.
    if (!emulated) opened.productLibrary = await openProductLibrary();
    return opened;
  }

  freeBytes(): number {
    const free = new BigUint64Array(16);
    const total = new BigUint64Array(16);
    this.driver.call('cuMemGetInfo_v2', 'asking for free memory', free, total);
    return Number(free[0]);
  }

  allocate(bytes: number): number {
    const address = new BigUint64Array(16);
    const error = this.driver.try('cuMemAlloc_v2', address, bytes);
    if (error === 0) return Number(address[0]);
    const { code } = this.driver.error(error, '', 'cuMemAlloc_v2');
    const free =
      code === 'CUDA_ERROR_OUT_OF_MEMORY' ? `; ${megabytes(this.freeBytes())} are free` : '';
    throw new CudaError(
      `CUDA: ${megabytes(bytes)} could not be allocated on '${this.name}' ` +
        `(${megabytes(this.totalBytes)})${free}: ${code}`,
      code,
    );
  }

  free(address: number): void {
    this.driver.call('cuMemFree_v2', 'freeing memory', address);
  }

  allocateShared(bytes: number): SharedBlock {
    const handles = new BigUint64Array(16);
    this.driver.call('cuMemHostAlloc', 'allocating', handles, bytes, MAPPED);
    const address = handles[0] ?? 0n;
    return {
      address: Number(address),
      bytes: this.view(address, bytes),
      free: () => this.driver.call('cuMemFreeHost', 'freeing memory', address),
    };
  }

  upload(to: number, bytes: Uint8Array): void {
    this.refuseCapture('an upload');
    if (bytes.length <= SLOT_BYTES) {
      this.uploadFew(to, bytes);
      return;
    }
    for (let done = 0; done < bytes.length; done += PINNED_BYTES) {
      const part = bytes.subarray(done, done + PINNED_BYTES);
      if (part.length <= SMALL_UPLOAD) {
        this.driver.call(
          'cuMemcpyHtoDAsync_v2',
          'uploading',
          to + done,
          part,
          part.length,
          this.stream,
        );
        continue;
      }
      // Through pinned memory in turns: one half is filled while the other is on its way.
      const half = (done / PINNED_BYTES) % 2;
      if (half === 0) this.synchronize();
      const start = MOST_ARGUMENT_BYTES + half * PINNED_BYTES;
      const staged = this.pinnedBytes.subarray(start, start + part.length);
      staged.set(part);
      this.driver.call(
        'cuMemcpyHtoDAsync_v2',
        'uploading',
        to + done,
        staged,
        part.length,
        this.stream,
      );
    }
    // The caller may reuse his memory.
    this.synchronize();
  }

  /** Nobody waits: the slot is used again after the stream was waited for. */
  private uploadFew(to: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (this.slot === SLOTS) {
      this.synchronize();
      this.slot = 0;
    }
    const start = SLOTS_AT + this.slot++ * SLOT_BYTES;
    const staged = this.pinnedBytes.subarray(start, start + bytes.length);
    staged.set(bytes);
    const { stream } = this;
    this.driver.call('cuMemcpyHtoDAsync_v2', 'uploading', to, staged, bytes.length, stream);
  }

  download(into: Uint8Array, from: number): void {
    this.refuseCapture('reading values');
    this.driver.call('cuMemcpyDtoHAsync_v2', 'downloading', into, from, into.length, this.stream);
    this.synchronize();
  }

  copy(to: number, from: number, bytes: number): void {
    if (bytes === 0 || this.isRehearsing) return;
    this.driver.call('cuMemcpyDtoDAsync_v2', 'copying', to, from, bytes, this.stream);
  }

  launch(
    kernel: string,
    { grid: [x, y = 1, z = 1], block, sharedBytes = 0 }: Launch,
    pointers: readonly number[],
    integers: readonly number[],
    floats: readonly number[] = [],
  ): void {
    const { handle, argumentBytes } = this.functions.get(kernel) ?? this.find(kernel);
    const view = this.argumentView;
    let at = 8;
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
    const bytes = Math.ceil((at - 8) / 8) * 8;
    if (argumentBytes !== undefined && bytes !== Math.ceil(argumentBytes / 8) * 8) {
      throw new BackendError(
        `kernel ${kernel}: takes ${argumentBytes} bytes of arguments, not ${bytes}`,
      );
    }
    if (this.isRehearsing) return;
    const { stream, pinned } = this;
    const error = this.overlaps
      ? this.launchOverlapping(handle, [x, y, z, block, 1, 1, sharedBytes])
      : this.driver.try(
          'cuLaunchKernel',
          ...[handle, x, y, z, block, 1, 1, sharedBytes, stream, pinned, 0],
        );
    if (error !== 0) {
      const size = `grid ${x} x ${y} x ${z}, ${block} threads, ${sharedBytes} bytes shared`;
      throw this.driver.error(error, `kernel ${kernel} (${size})`, 'cuLaunchKernel');
    }
  }

  /** What does not change from launch to launch: the stream, and the permission to overlap. */
  private describeOverlap(): void {
    const view = this.argumentView;
    view.setBigUint64(LAUNCH_CONFIG_AT + 32, this.stream, true);
    view.setBigUint64(LAUNCH_CONFIG_AT + 40, this.pinned + BigInt(LAUNCH_ATTRIBUTE_AT), true);
    view.setUint32(LAUNCH_CONFIG_AT + 48, 1, true);
    view.setUint32(LAUNCH_ATTRIBUTE_AT, PROGRAMMATIC_STREAM_SERIALIZATION, true);
    view.setInt32(LAUNCH_ATTRIBUTE_AT + 8, 1, true);
  }

  private launchOverlapping(handle: bigint, sizes: readonly number[]): number {
    sizes.forEach((size, i) => {
      this.argumentView.setUint32(LAUNCH_CONFIG_AT + 4 * i, size, true);
    });
    const config = this.pinned + BigInt(LAUNCH_CONFIG_AT);
    return this.driver.try('cuLaunchKernelEx', config, handle, this.pinned, 0);
  }

  get hasProductLibrary(): boolean {
    return this.productLibrary !== undefined;
  }

  multiply(product: Product, workspace: number): boolean {
    const { productLibrary } = this;
    if (!productLibrary) return false;
    if (this.isRehearsing) return productLibrary.prepare(product);
    return productLibrary.multiply(product, workspace, this.stream);
  }

  rehearse(work: () => void): void {
    this.isRehearsing = true;
    try {
      work();
    } finally {
      this.isRehearsing = false;
    }
  }

  record(work: () => void): Graph {
    this.beginCapture();
    try {
      work();
    } catch (error) {
      this.abandonCapture();
      throw error;
    }
    return this.endCapture();
  }

  /** Leaves the stream as before a recording that failed. */
  private abandonCapture(): void {
    this.isCapturing = false;
    const handles = new BigUint64Array(16);
    const error = this.driver.try('cuStreamEndCapture', this.stream, handles);
    const graph = handles[0] ?? 0n;
    if (error === 0 && graph !== 0n) this.driver.call('cuGraphDestroy', 'freeing a graph', graph);
  }

  beginCapture(): void {
    this.driver.call('cuStreamBeginCapture_v2', 'recording', this.stream, RELAXED_CAPTURE);
    this.isCapturing = true;
  }

  endCapture(): Graph {
    this.isCapturing = false;
    const { driver, stream } = this;
    const handles = new BigUint64Array(16);
    driver.call('cuStreamEndCapture', 'recording', stream, handles);
    const graph = handles[0] ?? 0n;
    try {
      driver.call('cuGraphGetNodes', 'recording', graph, 0, handles);
      const nodes = Number(handles[0]);
      driver.call('cuGraphInstantiateWithFlags', 'making a graph', handles, graph, 0);
      const executable = handles[0] ?? 0n;
      return {
        nodes,
        launch: () => driver.call('cuGraphLaunch', 'running a graph', executable, stream),
        dispose: () => driver.call('cuGraphExecDestroy', 'freeing a graph', executable),
      };
    } finally {
      driver.call('cuGraphDestroy', 'freeing a graph', graph);
    }
  }

  synchronize(): void {
    // Kernels fail here, after their launch.
    this.driver.call('cuStreamSynchronize', 'waiting for the GPU', this.stream);
  }

  time(work: () => void): number {
    const handles = new BigUint64Array(16);
    const event = () => {
      this.driver.call('cuEventCreate', 'timing', handles, 0);
      return handles[0] ?? 0n;
    };
    const [start, end] = [event(), event()];
    try {
      this.driver.call('cuEventRecord', 'timing', start, this.stream);
      work();
      this.driver.call('cuEventRecord', 'timing', end, this.stream);
      this.driver.call('cuEventSynchronize', 'timing', end);
      const milliseconds = new Float32Array(32);
      const name = this.driver.has('cuEventElapsedTime_v2')
        ? 'cuEventElapsedTime_v2'
        : 'cuEventElapsedTime';
      this.driver.call(name, 'timing', milliseconds, start, end);
      return milliseconds[0] ?? 0;
    } finally {
      for (const handle of [start, end]) this.driver.call('cuEventDestroy_v2', 'timing', handle);
    }
  }

  dispose(): void {
    this.synchronize();
    this.productLibrary?.dispose();
    this.driver.call('cuMemFreeHost', 'closing', this.pinned);
    this.driver.call('cuStreamDestroy_v2', 'closing', this.stream);
    this.driver.call('cuModuleUnload', 'closing', this.module);
    this.driver.call('cuDevicePrimaryCtxRelease_v2', 'closing', this.ordinal);
  }

  private find(kernel: string): KernelFunction {
    const handles = new BigUint64Array(16);
    const what = `kernel ${kernel}`;
    this.driver.call('cuModuleGetFunction', what, handles, this.module, kernel);
    const handle = handles[0] ?? 0n;
    const most = this.sharedBytes - STATIC_SHARED_BYTES;
    this.driver.call('cuFuncSetAttribute', what, handle, MAX_DYNAMIC_SHARED_BYTES, most);
    const sizes = new BigUint64Array(16);
    const known =
      this.driver.has('cuFuncGetParamInfo') &&
      this.driver.try('cuFuncGetParamInfo', handle, 0, handles, sizes) === 0;
    const found = { handle, argumentBytes: known ? Number(sizes[0]) : undefined };
    this.functions.set(kernel, found);
    return found;
  }

  private refuseCapture(what: string): void {
    if (!this.isCapturing) return;
    throw new BackendError(
      `${what} cannot be part of a recorded step: an op in it has no CUDA kernel of its own`,
    );
  }
}

/** cuBLASLt, unless it is not installed or not to be used; one line says why it does not start. */
async function openProductLibrary(): Promise<CublasLt | undefined> {
  try {
    return await CublasLt.open();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    console.warn(`rene: matrices are multiplied by kernels of our own, not by cuBLASLt: ${why}`);
    return undefined;
  }
}

/** Uploads up to this size the driver takes along with the call. */
const SMALL_UPLOAD = 64 << 10;
/** At least what any kernel declares besides its dynamic shared memory. */
const STATIC_SHARED_BYTES = 10 << 10;

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 3 : 0)} MiB`;
}
