// Chooses the tfjs backend by name and loads what it needs.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../errors.js';
import { quietly } from './quietly.js';

/** Backends that this project loads by itself. Any other must have been registered by its package. */
const loaders: Record<string, () => Promise<unknown>> = {
  cpu: loadCpu,
  simd: async () => (await import('./simd/index.js')).registerSimdBackend(),
  tensorflow: async () => (await import('./tensorflow/load.js')).loadTensorflow(),
};

/**
 * Makes a backend the current one.
 *
 * @param name 'cpu', 'simd' (all cores, packed weights), 'tensorflow' (an installed tfjs-node-gpu
 *   or tfjs-node), any backend that is
 *   registered with tfjs, or 'auto': the GPU's where tfjs-node-gpu is installed, else the CPU's.
 *   Unless given, the backend in use stays; 'auto' where none is in use yet
 * @returns the name of the backend chosen
 * @throws BackendError if it is unknown, not installed or does not start
 */
export async function useBackend(name?: string): Promise<string> {
  const wanted = name ?? (tf.getBackend() || 'auto');
  const chosen = wanted === 'auto' ? await bestBackend() : wanted;
  if (!tf.engine().registryFactory[chosen]) {
    const load = loaders[chosen];
    if (!load) {
      const known = new Set([...Object.keys(loaders), ...Object.keys(tf.engine().registryFactory)]);
      throw new BackendError(`unknown backend '${chosen}'; known here: ${[...known].join(', ')}`);
    }
    await load();
  }
  if (!(await tf.setBackend(chosen))) {
    throw new BackendError(`the backend '${chosen}' does not start on this machine`);
  }
  if (chosen === 'cpu') greetQuietly();
  return chosen;
}

async function bestBackend(): Promise<string> {
  if (typeof process === 'undefined' || !process.versions?.node) return 'cpu';
  const { installedTensorflow } = await import('./tensorflow/load.js');
  return installedTensorflow().some((entry) => entry.includes('tfjs-node-gpu'))
    ? 'tensorflow'
    : 'cpu';
}

async function loadCpu(): Promise<void> {
  await import('@tensorflow/tfjs-backend-cpu');
}

/**
 * On its first tensor in Node, tfjs's CPU backend prints an advertisement for tfjs-node. The user
 * chose this backend by our hand: let the moment pass silently.
 */
function greetQuietly(): void {
  quietly(() => tf.scalar(0).dispose());
}
