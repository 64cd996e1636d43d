// One GPU, opened with CUDA's driver API: its primary context, a stream, and the kernels' module.
import { BackendError } from '../../errors.js';
import { emulatedDriver, kernelImage } from './binaries.js';
import { Driver } from './driver.js';

/** Selects the device. */
export interface CudaOptions {
  /** Index among the GPUs in CUDA_VISIBLE_DEVICES. Default: 0. */
  device?: number | undefined;
  /**
   * true for the emulated device, which runs the same kernels slowly on the host, for tests.
   * RENE_CUDA=emulated selects it too. Default: false.
   */
  emulated?: boolean | undefined;
  /**
   * Allow a kernel to start and prefetch its weights while the previous one is running (programmatic
   * dependent launch; Hopper and later). Default: RENE_CUDA_OVERLAP=1, else off.
   */
  overlap?: boolean | undefined;
}

/** The GPU's properties, and the driver's handles. */
export interface Gpu {
  readonly driver: Driver;
  readonly emulated: boolean;
  readonly ordinal: number;
  readonly name: string;
  readonly totalBytes: number;
  readonly multiprocessors: number;
  /** Maximum shared memory per block, static and dynamic. */
  readonly sharedBytes: number;
  /** Whether a kernel may start while the previous one is running. */
  readonly overlaps: boolean;
  readonly context: bigint;
  readonly module: bigint;
  readonly stream: bigint;
}

const MULTIPROCESSORS = 16;
const COMPUTE_MAJOR = 75;
const COMPUTE_MINOR = 76;
const SHARED_BYTES_OPT_IN = 97;
const NON_BLOCKING_STREAM = 1;

/**
 * Opens the driver and a GPU.
 *
 * @throws BackendError without a driver or a GPU, or for a GPU older than Ampere
 */
export async function openGpu(options: CudaOptions): Promise<Gpu> {
  const emulated = options.emulated ?? process.env.RENE_CUDA === 'emulated';
  const driver = await Driver.open(emulated ? emulatedDriver() : 'libcuda.so.1');
  driver.call('cuInit', 'starting', 0);
  const ordinal = chooseGpu(driver, options.device ?? 0);
  const wantsOverlap = options.overlap ?? process.env.RENE_CUDA_OVERLAP === '1';
  const { name, totalBytes, attribute } = describeGpu(driver, ordinal);
  const capability = attribute(COMPUTE_MAJOR) * 10 + attribute(COMPUTE_MINOR);
  if (capability < 80) {
    throw new BackendError(
      `the backend 'cuda' needs a GPU of the Ampere generation or later (compute capability 8.0); ` +
        `'${name}' has ${capability / 10}`,
    );
  }
  const handles = new BigUint64Array(16);
  driver.call('cuDevicePrimaryCtxRetain', 'making a context', handles, ordinal);
  const context = handles[0] ?? 0n;
  driver.call('cuCtxSetCurrent', 'making a context', context);
  driver.call('cuModuleLoadData', `loading the kernels on '${name}'`, handles, kernelImage());
  const module = handles[0] ?? 0n;
  driver.call('cuStreamCreate', 'making a stream', handles, NON_BLOCKING_STREAM);
  const stream = handles[0] ?? 0n;
  return {
    driver,
    emulated,
    ordinal,
    name,
    totalBytes,
    multiprocessors: attribute(MULTIPROCESSORS),
    sharedBytes: attribute(SHARED_BYTES_OPT_IN),
    overlaps: wantsOverlap && capability >= 90 && driver.has('cuLaunchKernelEx'),
    context,
    module,
    stream,
  };
}

export function closeGpu({ driver, stream, module, ordinal }: Gpu): void {
  driver.call('cuStreamDestroy_v2', 'closing', stream);
  driver.call('cuModuleUnload', 'closing', module);
  driver.call('cuDevicePrimaryCtxRelease_v2', 'closing', ordinal);
}

/** Waits for all work on the stream. Errors of kernels appear here, after their launch. */
export function synchronize({ driver, stream }: Gpu): void {
  driver.call('cuStreamSynchronize', 'waiting for the GPU', stream);
}

/** The driver's index of the requested GPU. @throws BackendError if there is none */
function chooseGpu(driver: Driver, wanted: number): number {
  const integers = new Int32Array(16);
  driver.call('cuDeviceGetCount', 'counting GPUs', integers);
  const count = integers[0] ?? 0;
  if (!Number.isInteger(wanted) || wanted < 0 || wanted >= count) {
    throw new BackendError(
      count === 0
        ? "the backend 'cuda' finds no NVIDIA GPU (CUDA_VISIBLE_DEVICES hides those it does not list)"
        : `device: expected a GPU index below ${count}, found ${wanted}`,
    );
  }
  driver.call('cuDeviceGet', 'choosing a GPU', integers, wanted);
  return integers[0] ?? 0;
}

function describeGpu(driver: Driver, ordinal: number) {
  const what = 'asking about the GPU';
  const characters = new Uint8Array(256);
  driver.call('cuDeviceGetName', what, characters, 255, ordinal);
  const bytes = new BigUint64Array(16);
  driver.call('cuDeviceTotalMem_v2', what, bytes, ordinal);
  const integers = new Int32Array(16);
  return {
    name: new TextDecoder().decode(characters.subarray(0, characters.indexOf(0))),
    totalBytes: Number(bytes[0]),
    attribute: (which: number): number => {
      driver.call('cuDeviceGetAttribute', what, integers, which, ordinal);
      return integers[0] ?? 0;
    },
  };
}
