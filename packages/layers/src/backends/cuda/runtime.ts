// The device and its memory: everything below the tensors.
import type { Device, KernelCall } from './device.js';
import { MemoryPool } from './memory_pool.js';

/** What kernels need below their tensors; the memory is the backend's own, or TensorFlow's. */
export interface Runtime {
  readonly device: Device;
  /** Blocks of device memory for as long as a kernel needs them. */
  readonly pool: { allocate(bytes: number): number; release(address: number): void };
  /** Runs a kernel, unless its grid is empty. */
  launch(...call: KernelCall): void;
}

export class CudaRuntime implements Runtime {
  readonly pool: MemoryPool;

  constructor(readonly device: Device) {
    this.pool = new MemoryPool(device);
  }

  launch(...call: KernelCall): void {
    this.device.launch(...call);
  }

  dispose(): void {
    this.device.synchronize();
    this.pool.trim();
    this.device.dispose();
  }
}

/** The grid's y and z reach 65,535. */
export const MOST_GRID_Y = 65535;
/** An integer argument that stands for no limit. */
export const UNLIMITED = 0x7fffffff;
