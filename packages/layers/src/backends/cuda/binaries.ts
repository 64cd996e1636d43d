// The compiled kernels, which are published beside the sources. scripts/build_cuda.mjs makes them.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import { BackendError } from '../../errors.js';

/** From dist/src/backends/cuda/ to the package, and into its sources. */
const folder = new URL('../../../../src/backends/cuda/binaries/', import.meta.url);

let image: Uint8Array | undefined;

/** Machine code for the cards known when it was compiled, and PTX for later ones. */
export function kernelImage(): Uint8Array {
  image ??= brotliDecompressSync(readFileSync(new URL('kernels.fatbin.br', folder)));
  return image;
}

/**
 * The path of the emulated driver: RENE_CUDA_EMULATION, where that names another build of it (one
 * with a sanitizer, see scripts/build_cuda.mjs), else the one that is published.
 *
 * @throws BackendError where it has not been compiled for this platform
 */
export function emulatedDriver(): string {
  const chosen = process.env.RENE_CUDA_EMULATION;
  if (chosen) return chosen;
  const name = `emulated-${process.platform}-${process.arch}.so`;
  const url = new URL(name, folder);
  if (existsSync(url)) return fileURLToPath(url);
  throw new BackendError(
    `the emulated CUDA device has not been compiled for ${process.platform} ${process.arch}: ` +
      'it is there for Linux on x86-64 only',
  );
}
