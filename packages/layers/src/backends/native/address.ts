// Addresses in the memory of a native backend.

/**
 * A place in a backend's memory. 0 stands for "none".
 *
 * On `simd` it is a byte offset into the WebAssembly memory, on `cuda` a device pointer. A backend
 * without pointers hands out virtual addresses: WebGPU can number its buffers from 1, use
 * `buffer * 2 ** 32 + offset`, and take the number apart at the launch. Safe integers hold 2 ** 21
 * such buffers. `address + bytes` is valid as long as it stays inside the block.
 */
export type Address = number;
