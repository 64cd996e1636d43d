// CUDA's driver API (libcuda.so.1, which comes with NVIDIA's driver): its functions and their errors.
import { BackendError } from '../../errors.js';
import { CudaError } from './device.js';
import {
  type NativeArgument,
  type NativeFunction,
  type NativeLibrary,
  openLibrary,
  stringReader,
} from './native.js';

const H = 'uint64'; // handles and device addresses
const P = 'void *'; // memory of ours
const I = 'int';
const U = 'uint32';
const S = 'size_t';

/** Argument types of all used functions. Each returns an error number. */
const signatures = {
  cuInit: [U],
  cuDriverGetVersion: [P],
  cuDeviceGetCount: [P],
  cuDeviceGet: [P, I],
  cuDeviceGetName: [P, I, I],
  cuDeviceTotalMem_v2: [P, I],
  cuDeviceGetAttribute: [P, I, I],
  cuDevicePrimaryCtxRetain: [P, I],
  cuDevicePrimaryCtxRelease_v2: [I],
  cuCtxSetCurrent: [H],
  cuCtxGetCurrent: [P],
  cuCtxSynchronize: [],
  cuModuleLoadData: [P, P],
  cuModuleUnload: [H],
  cuModuleGetFunction: [P, H, 'str'],
  cuFuncSetAttribute: [H, I, I],
  cuLaunchKernel: [H, U, U, U, U, U, U, U, H, H, H],
  cuMemGetInfo_v2: [P, P],
  cuMemAlloc_v2: [P, S],
  cuMemFree_v2: [H],
  cuMemHostAlloc: [P, S, U],
  cuMemFreeHost: [H],
  cuMemcpyHtoDAsync_v2: [H, P, S, H],
  cuMemcpyDtoHAsync_v2: [P, H, S, H],
  cuMemcpyDtoDAsync_v2: [H, H, S, H],
  cuStreamCreate: [P, U],
  cuStreamDestroy_v2: [H],
  cuStreamSynchronize: [H],
  cuStreamBeginCapture_v2: [H, I],
  cuStreamEndCapture: [H, P],
  cuGraphGetNodes: [H, H, P],
  cuGraphInstantiateWithFlags: [P, H, 'uint64'],
  cuGraphLaunch: [H, H],
  cuGraphExecDestroy: [H],
  cuGraphDestroy: [H],
  cuEventCreate: [P, U],
  cuEventDestroy_v2: [H],
  cuEventRecord: [H, H],
  cuEventSynchronize: [H],
  cuGetErrorName: [I, P],
  cuGetErrorString: [I, P],
} satisfies Record<string, readonly string[]>;

/** Optional functions of newer drivers. */
const optionalSignatures = {
  cuFuncGetParamInfo: [H, S, P, P],
  cuLaunchKernelEx: [H, H, H, H],
  cuEventElapsedTime_v2: [P, H, H],
  cuEventElapsedTime: [P, H, H],
  cuCtxRecordEvent: [H, H],
  cuCtxWaitEvent: [H, H],
  cuStreamWaitEvent: [H, H, U],
  cuPointerGetAttribute: [P, I, H],
} satisfies Record<string, readonly string[]>;

export type CudaFunction = keyof typeof signatures;
export type OptionalCudaFunction = keyof typeof optionalSignatures;

export class Driver {
  private constructor(
    private readonly functions: ReadonlyMap<string, NativeFunction>,
    private readonly readString: (address: bigint) => string,
  ) {}

  /**
   * @param path of the library
   * @throws BackendError if it is missing or too old
   */
  static async open(path: string): Promise<Driver> {
    let library: NativeLibrary;
    try {
      library = await openLibrary(path);
    } catch (cause) {
      if (cause instanceof BackendError) throw cause;
      throw new BackendError(
        `the backend 'cuda' needs NVIDIA's driver: ${path} does not load here ` +
          `(${cause instanceof Error ? cause.message : String(cause)})`,
        { cause },
      );
    }
    const functions = new Map<string, NativeFunction>();
    for (const [name, types] of Object.entries(signatures)) {
      functions.set(name, required(library, name, types));
    }
    for (const [name, types] of Object.entries(optionalSignatures)) {
      try {
        functions.set(name, library.function(name, types));
      } catch {
        // An older driver.
      }
    }
    return new Driver(functions, await stringReader());
  }

  /** Calls a function. @throws CudaError with the failed action and CUDA's name of the error */
  call(name: CudaFunction | OptionalCudaFunction, what: string, ...args: NativeArgument[]): void {
    const error = this.try(name, ...args);
    if (error !== 0) throw this.error(error, what, name);
  }

  /** Calls a function and returns its error number. */
  try(name: CudaFunction | OptionalCudaFunction, ...args: NativeArgument[]): number {
    const call = this.functions.get(name);
    if (!call) throw new BackendError(`this driver has no ${name}: a newer one is needed`);
    return call(...args);
  }

  has(name: OptionalCudaFunction): boolean {
    return this.functions.has(name);
  }

  error(error: number, what: string, name: CudaFunction | OptionalCudaFunction): CudaError {
    const code = this.text('cuGetErrorName', error);
    const words = this.text('cuGetErrorString', error);
    return new CudaError(`CUDA: ${what}: ${code} (${words}), from ${name}`, code);
  }

  private text(name: 'cuGetErrorName' | 'cuGetErrorString', error: number): string {
    const address = new BigUint64Array(16);
    const known = this.try(name, error, address) === 0 && address[0];
    return known ? this.readString(known) : `error ${error}`;
  }
}

function required(library: NativeLibrary, name: string, types: readonly string[]): NativeFunction {
  try {
    return library.function(name, types);
  } catch (cause) {
    throw new BackendError(
      `NVIDIA's driver on this machine has no ${name}: it is too old. The kernels are compiled by ` +
        'CUDA 13 and need driver 580 or later',
      { cause },
    );
  }
}
