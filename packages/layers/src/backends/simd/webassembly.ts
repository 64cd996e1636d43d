// The parts of WebAssembly's types that are used here. They come with the DOM types, which Node lacks.

/** A compiled module; can be posted to workers. */
export type WasmModule = object;

export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
  /** Adds 64 KB pages. Throws RangeError beyond the maximum. */
  grow(pages: number): number;
}

/** The exports of kernels.wasm. Pointers are unsigned 32-bit numbers. */
export interface KernelExports {
  run(
    control: number,
    id: number,
    units: number,
    chunk: number,
    parts: number,
    args: number,
    scratch: number,
    scratchSize: number,
  ): void;
  replay(
    control: number,
    jobs: number,
    count: number,
    parts: number,
    scratch: number,
    scratchSize: number,
  ): void;
  serve(control: number, thread: number): void;
  /**
   * 1 if the engine sums four byte products with one instruction, else 0; see assembly/matmul/byte_dots.ts.
   */
  hasInt8Dot4(): number;
}

interface WebAssemblyApi {
  compile(bytes: Uint8Array): Promise<WasmModule>;
  validate(bytes: Uint8Array): boolean;
  Memory: new (options: { initial: number; maximum: number; shared: true }) => WasmMemory;
  Instance: new (module: WasmModule, imports: object) => { readonly exports: KernelExports };
}

/** Instantiates the kernels on a memory. */
export function instantiate(module: WasmModule, memory: WasmMemory): KernelExports {
  return new webAssembly.Instance(module, { env: { memory } }).exports;
}

// Untyped in Node's declarations.
export const webAssembly = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
