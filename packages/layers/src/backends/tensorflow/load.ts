// Finds and loads an installed tfjs-node-gpu or tfjs-node, which registers the backend 'tensorflow'.
import { createRequire } from 'node:module';
import util from 'node:util';
import { BackendError } from '../../errors.js';
import { quietly } from '../quietly.js';

const packages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];

/** The installed TensorFlow packages that this program can import, the GPU one first. */
export function installedTensorflow(): string[] {
  const places = [createRequire(import.meta.url), createRequire(`${process.cwd()}/`)];
  return packages.flatMap((name) => {
    for (const place of places) {
      try {
        return [place.resolve(name)];
      } catch {
        // Not installed there.
      }
    }
    return [];
  });
}

/** The package that is loaded in this program, by us or by the user. */
export function loadedTensorflow(): string | undefined {
  const { cache } = createRequire(import.meta.url);
  return installedTensorflow().find((entry) => cache[entry] !== undefined);
}

/**
 * Loads the first installed package.
 *
 * @throws BackendError if no package is installed, or it does not load
 */
export async function loadTensorflow(): Promise<void> {
  const [entry] = installedTensorflow();
  if (!entry) {
    throw new BackendError(
      "the backend 'tensorflow' needs the package @tensorflow/tfjs-node-gpu (an NVIDIA GPU with " +
        'CUDA 11.2 and cuDNN 8.1) or @tensorflow/tfjs-node (CPU): npm install @tensorflow/tfjs-node-gpu',
    );
  }
  restoreRemovedUtil();
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
  // With TF32, TensorFlow would round the operands of f32 matmuls to 10 bits; the original does not.
  process.env.NVIDIA_TF32_OVERRIDE ??= '0';
  try {
    // tfjs-node imports its own tfjs, which would warn that every kernel is registered already.
    quietly(() => createRequire(import.meta.url)(entry));
  } catch (cause) {
    throw new BackendError(
      `${entry} is installed but does not load. It needs its native binding (run its install ` +
        'script: npm rebuild) and, for a GPU, CUDA 11.2 and cuDNN 8.1. ' +
        `Its error: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** tfjs-node 4.22 calls util.isNullOrUndefined, which Node 23 removed. */
export function restoreRemovedUtil(target: object = util): void {
  if ('isNullOrUndefined' in target) return;
  Object.defineProperty(target, 'isNullOrUndefined', {
    value: (value: unknown) => value === null || value === undefined,
  });
}
