// Access to native libraries through koffi.
import { BackendError } from '../../errors.js';

/** A number, address, handle, string, or memory that the callee reads or writes. */
export type NativeArgument = number | bigint | string | ArrayBufferView | null;
export type NativeFunction = (...args: NativeArgument[]) => number;

export interface NativeLibrary {
  /** A C function that returns int. @throws Error if the library has no such function. */
  function(name: string, argumentTypes: readonly string[]): NativeFunction;
}

/** Loads koffi, an optional dependency. @throws BackendError if it is not installed */
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
    // koffi types functions as any; the argument types are given here.
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
