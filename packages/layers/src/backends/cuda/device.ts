// The interface of a device. CudaDevice implements it; tests run it on the emulated driver, which has
// NVIDIA's C interface.
import { ReneError } from '../../errors.js';
import type { Gemm } from './gemm.js';

/** A failed CUDA call. */
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
  /** Threads per block. */
  block: number;
  /** Bytes of dynamic shared memory. Default: 0. */
  sharedBytes?: number;
}

/** A kernel, its launch configuration, and its argument struct: pointers, then integers, then floats. */
export type KernelCall = readonly [
  kernel: string,
  launch: Launch,
  pointers: readonly number[],
  integers: readonly number[],
  floats?: readonly number[],
];

/** Host memory that kernels can read and write at the same address. */
export interface SharedBlock {
  readonly address: number;
  readonly bytes: Uint8Array;
  free(): void;
}

/** A recorded CUDA graph, launched with one call. */
export interface Graph {
  /** Number of kernels and copies in it. */
  readonly nodes: number;
  launch(): void;
  dispose(): void;
}

/** One GPU with one stream: operations take effect in call order. */
export interface Device {
  readonly name: string;
  readonly emulated: boolean;
  readonly multiprocessors: number;
  readonly totalBytes: number;
  /** Free bytes of GPU memory. */
  freeBytes(): number;
  /** @throws CudaError with code CUDA_ERROR_OUT_OF_MEMORY */
  allocate(bytes: number): number;
  free(address: number): void;
  /** The host sees what a kernel wrote after synchronize(). */
  allocateShared(bytes: number): SharedBlock;
  upload(to: number, bytes: Uint8Array): void;
  /** Waits for all previous work. */
  download(into: Uint8Array, from: number): void;
  copy(to: number, from: number, bytes: number): void;
  /**
   * Launches a kernel, unless its grid is empty.
   *
   * @throws CudaError naming the kernel
   */
  launch(...call: KernelCall): void;
  /** Whether gemm() has a library. */
  readonly hasCublasLt: boolean;
  /**
   * A matmul by cuBLASLt; false if it has no algorithm and nothing was computed.
   *
   * @param workspace address of WORKSPACE_BYTES of cublas_lt.ts
   * @throws CudaError
   */
  gemm(gemm: Gemm, workspace: number): boolean;
  /** Loads the kernels that `work` launches without running them, since a recording must not load any. */
  rehearse(work: () => void): void;
  /** Records launches and copies instead of running them, until endCapture(). */
  beginCapture(): void;
  endCapture(): Graph;
  /** The launches and copies between beginCapture and endCapture. */
  record(work: () => void): Graph;
  readonly isCapturing: boolean;
  synchronize(): void;
  /** Milliseconds of device time for what `work` launches. */
  time(work: () => void): number;
  dispose(): void;
}
