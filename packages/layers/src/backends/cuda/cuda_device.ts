// A device: a GPU with its memory, launches, recordings and cuBLASLt.
import { BackendError } from '../../errors.js';
import { CublasLt } from './cublas_lt.js';
import type { Device, Graph, KernelCall, SharedBlock } from './device.js';
import { CudaError } from './device.js';
import type { Driver } from './driver.js';
import type { Gemm } from './gemm.js';
import { type CudaOptions, closeGpu, type Gpu, openGpu, synchronize } from './gpu.js';
import { type AllocateHost, hostAllocator } from './host_memory.js';
import { KernelLauncher } from './kernel_launcher.js';
import { Uploads } from './uploads.js';

/** Memory may be allocated during a capture. */
const RELAXED_CAPTURE = 2;

export class CudaDevice implements Device {
  readonly driver: Driver;
  readonly emulated: boolean;
  readonly ordinal: number;
  readonly name: string;
  readonly totalBytes: number;
  readonly multiprocessors: number;
  readonly context: bigint;
  readonly stream: bigint;
  isCapturing = false;
  /** The library for matmuls of many rows; undefined to use our kernels. Tests set another. */
  cublasLt: CublasLt | undefined;
  private isRehearsing = false;
  private readonly launcher: KernelLauncher;
  private readonly uploads: Uploads;

  private constructor(
    private readonly gpu: Gpu,
    private readonly allocateHost: AllocateHost,
  ) {
    this.driver = gpu.driver;
    this.emulated = gpu.emulated;
    this.ordinal = gpu.ordinal;
    this.name = gpu.name;
    this.totalBytes = gpu.totalBytes;
    this.multiprocessors = gpu.multiprocessors;
    this.context = gpu.context;
    this.stream = gpu.stream;
    this.launcher = new KernelLauncher(gpu, allocateHost);
    this.uploads = new Uploads(gpu, allocateHost);
  }

  /**
   * Opens the driver and a GPU.
   *
   * @throws BackendError without a driver or a GPU, or for a GPU older than Ampere
   */
  static async open(options: CudaOptions = {}): Promise<CudaDevice> {
    const gpu = await openGpu(options);
    const device = new CudaDevice(gpu, await hostAllocator(gpu.driver));
    // The library runs on a GPU only.
    if (!gpu.emulated) device.cublasLt = await openCublasLt();
    return device;
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
    return this.allocateHost(bytes, true);
  }

  upload(to: number, bytes: Uint8Array): void {
    this.refuseCapture('an upload');
    this.uploads.upload(to, bytes);
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

  launch(...[kernel, launch, pointers, integers, floats = []]: KernelCall): void {
    if (launch.grid.some((size) => size === 0)) return;
    const handle = this.launcher.prepare(kernel, pointers, integers, floats);
    if (!this.isRehearsing) this.launcher.run(kernel, handle, launch);
  }

  get hasCublasLt(): boolean {
    return this.cublasLt !== undefined;
  }

  gemm(gemm: Gemm, workspace: number): boolean {
    const { cublasLt } = this;
    if (!cublasLt) return false;
    if (this.isRehearsing) return cublasLt.prepare(gemm);
    return cublasLt.gemm(gemm, workspace, this.stream);
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

  /** Restores the stream after a failed recording. */
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
    synchronize(this.gpu);
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
    this.cublasLt?.dispose();
    this.uploads.dispose();
    this.launcher.dispose();
    closeGpu(this.gpu);
  }

  private refuseCapture(what: string): void {
    if (!this.isCapturing) return;
    throw new BackendError(
      `${what} cannot be part of a recorded step: one of its ops has no CUDA kernel`,
    );
  }
}

/** cuBLASLt, if it is installed and enabled. Prints one line if it does not start. */
async function openCublasLt(): Promise<CublasLt | undefined> {
  try {
    return await CublasLt.open();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    console.warn(`rene: cuBLASLt does not start, our own matmul kernels are used instead: ${why}`);
    return undefined;
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 3 : 0)} MiB`;
}
