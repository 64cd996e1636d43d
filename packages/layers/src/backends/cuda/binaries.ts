// The compiled kernels, published beside the sources. scripts/build_cuda.mjs builds them.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import { BackendError } from '../../errors.js';

/** From dist/src/backends/cuda/ to the package's sources. */
const folder = new URL('../../../../src/backends/cuda/binaries/', import.meta.url);

let image: Uint8Array | undefined;

/** Machine code for the cards known at build time, and PTX for later ones. */
export function kernelImage(): Uint8Array {
  image ??= brotliDecompressSync(readFileSync(new URL('kernels.fatbin.br', folder)));
  return image;
}

/**
 * Path of the emulated driver: RENE_CUDA_EMULATION if set (such as a build with a sanitizer, see
 * scripts/build_cuda.mjs), else the published one.
 *
 * @throws BackendError if there is none for this platform
 */
export function emulatedDriver(): string {
  const chosen = process.env.RENE_CUDA_EMULATION;
  if (chosen) return chosen;
  const name = `emulated-${process.platform}-${process.arch}.so`;
  const url = new URL(name, folder);
  if (existsSync(url)) return fileURLToPath(url);
  throw new BackendError(
    `the emulated CUDA device has not been compiled for ${process.platform} ${process.arch}: ` +
      'it is published for Linux on x86-64 only',
  );
}
