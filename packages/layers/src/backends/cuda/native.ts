// The seam to koffi: native libraries and their functions, as what this backend needs of them.
import { BackendError } from '../../errors.js';

/** Numbers, addresses, handles, strings, and memory that the callee reads or writes. */
export type NativeArgument = number | bigint | string | ArrayBufferView | null;
export type NativeFunction = (...args: NativeArgument[]) => number;

export interface NativeLibrary {
  /** A C function that returns int. @throws Error if the library has none of that name. */
  function(name: string, argumentTypes: readonly string[]): NativeFunction;
}

/** koffi, which is installed with this package unless the platform has none. */
export async function loadKoffi(): Promise<typeof import('koffi')> {
  try {
    return await import('koffi');
  } catch (cause) {
    throw new BackendError(
      "the backend 'cuda' calls CUDA through the package koffi, which is not installed: " +
        'npm install koffi',
      { cause },
    );
  }
}

/** @throws Error if the library cannot be opened */
export async function openLibrary(path: string): Promise<NativeLibrary> {
  const koffi = await loadKoffi();
  const library = koffi.load(path);
  return {
    // koffi's functions take and return anything; the types given here say what.
    function: (name, argumentTypes) =>
      library.func(name, 'int', [...argumentTypes]) as unknown as NativeFunction,
  };
}

/** The C string at an address. */
export async function stringReader(): Promise<(address: bigint) => string> {
  const koffi = await loadKoffi();
  return (address) => String(koffi.decode(address, 'char', -1));
}

/** The bytes at an address outside JavaScript's memory. */
export async function viewer(): Promise<(address: bigint, bytes: number) => Uint8Array> {
  const koffi = await loadKoffi();
  return (address, bytes) => new Uint8Array(koffi.view(address, bytes));
}
