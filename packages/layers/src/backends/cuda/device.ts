// What this backend asks of a device. CudaDevice is the one implementation; tests run it on the
// emulated driver, which has the same C interface as NVIDIA's.
import { ReneError } from '../../errors.js';
import type { Gemm } from './gemm.js';

/** A call of CUDA failed. */
export class CudaError extends ReneError {
  override readonly name = 'CudaError';

  constructor(
    message: string,
    /** CUDA's name of the error, such as CUDA_ERROR_OUT_OF_MEMORY. */
    readonly code: string,
  ) {
    super(message);
  }
}

export interface Launch {
  grid: readonly [x: number, y?: number, z?: number];
  /** Threads of a block. */
  block: number;
  /** Bytes of dynamic shared memory; none unless given. */
  sharedBytes?: number;
}

/** A kernel, its launch, and its argument struct: pointers, then integers, then floats. */
export type KernelCall = readonly [
  kernel: string,
  launch: Launch,
  pointers: readonly number[],
  integers: readonly number[],
  floats?: readonly number[],
];

/** Memory of the host's that kernels read and write too, by the same address. */
export interface SharedBlock {
  readonly address: number;
  readonly bytes: Uint8Array;
  free(): void;
}

/** Recorded work that runs again with one call. */
export interface Graph {
  /** Kernels and copies in it. */
  readonly nodes: number;
  launch(): void;
  dispose(): void;
}

/** One GPU and one stream on it: everything happens in the order of the calls. */
export interface Device {
  readonly name: string;
  readonly emulated: boolean;
  readonly multiprocessors: number;
  readonly totalBytes: number;
  /** Bytes of the GPU's memory that nobody uses. */
  freeBytes(): number;
  /** @throws CudaError with code CUDA_ERROR_OUT_OF_MEMORY */
  allocate(bytes: number): number;
  free(address: number): void;
  /** What a kernel wrote is there for the host after synchronize(). */
  allocateShared(bytes: number): SharedBlock;
  upload(to: number, bytes: Uint8Array): void;
  /** Waits for everything before it. */
  download(into: Uint8Array, from: number): void;
  copy(to: number, from: number, bytes: number): void;
  /**
   * Runs a kernel, unless its grid is empty.
   *
   * @throws CudaError that names the kernel
   */
  launch(...call: KernelCall): void;
  /** Whether there is a library to multiply() by. */
  readonly hasCublasLt: boolean;
  /**
   * A matrix product by the library; false if it cannot, and nothing was done.
   *
   * @param workspace address of WORKSPACE_BYTES of cublas_lt.ts
   * @throws CudaError
   */
  gemm(gemm: Gemm, workspace: number): boolean;
  /** Loads the kernels that `work` launches, and runs none of them: recording must not load any. */
  rehearse(work: () => void): void;
  /** From here on launches and copies are recorded, not run. */
  beginCapture(): void;
  endCapture(): Graph;
  /** What `work` launches and copies, between beginCapture and endCapture. */
  record(work: () => void): Graph;
  readonly isCapturing: boolean;
  synchronize(): void;
  /** Milliseconds that the device takes for what `work` starts. */
  time(work: () => void): number;
  dispose(): void;
}
