// The device and its memory: everything below the tensors.
import type { Device, KernelCall } from './device.js';
import { MemoryPool } from './memory_pool.js';

/** The device and temporary memory of kernels: the backend's own, or TensorFlow's. */
export interface Runtime {
  readonly device: Device;
  /** Temporary blocks of device memory. */
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

/** Maximum of a grid's y and z. */
export const MOST_GRID_Y = 65535;
/** An integer argument that means no limit. */
export const UNLIMITED = 0x7fffffff;
