// Chooses the tfjs backend by name and loads what it needs.
import * as tf from '@tensorflow/tfjs-core';
import { BackendError, InvalidArgumentError, ReneError } from '../errors.js';
import { hasStepCompiler } from '../step.js';
import { quietly } from './quietly.js';
import { restartIfLost } from './restart.js';
import { isTfjsBackend, type TfjsBackend, tfjsBackends } from './tfjs_backends.js';
import { describeAdapter, findAdapter } from './webgpu/device.js';

/** Backends that this project loads itself. */
const loaders: Partial<Record<string, () => Promise<unknown>>> = {
  cpu: loadCpu,
  simd: async () => (await import('./simd/index.js')).loadSimdBackend(),
  cuda: async () => (await import('./cuda/index.js')).loadCudaBackend(),
  tensorflow: async () => (await import('./tensorflow/load.js')).loadTensorflow(),
  webgpu: loadWebGpu,
};

/** Native backends, which are not available in pages and workers. */
const NODE_ONLY: readonly string[] = ['cuda', 'tensorflow'];

/**
 * Makes a backend the current one.
 *
 * @param name 'simd' (all cores, packed weights), 'cuda' (an NVIDIA GPU through its driver),
 *   'webgpu' (any GPU), 'tensorflow' (an installed tfjs-node-gpu or tfjs-node), 'cpu' (plain
 *   JavaScript), 'wasm' (of tfjs, where its package is installed), any backend that is registered with
 *   tfjs, or 'auto'. In Node, auto is cuda where there is a driver and a GPU, else tensorflow where
 *   tfjs-node-gpu is installed, else simd, else cpu. In a page it is webgpu where that is registered
 *   and the adapter is not software, else simd, else cpu. Default: the backend in use; 'auto' where none
 *   is in use yet
 * @returns the name of the backend chosen
 * @throws BackendError if it is unknown, not installed or does not start
 * @throws InvalidArgumentError if the environment's RENE_THREADS is no count
 */
export async function useBackend(name?: string): Promise<string> {
  const wanted = name ?? (tf.getBackend() || 'auto');
  if (wanted !== 'auto') return start(wanted);
  for (const candidate of await bestFirst()) {
    const started = await start(candidate).catch((error: unknown) => {
      // Skip a backend that does not start, but report the user's mistakes.
      if (!(error instanceof ReneError) || error instanceof InvalidArgumentError) throw error;
      // Most machines have no GPU. simd runs nearly everywhere, and the next one is slow.
      if (candidate === 'simd') {
        console.warn(`${error.message}. Using the backend 'cpu', which is about 20 times slower`);
      }
      return undefined;
    });
    if (started) return started;
  }
  return start('cpu');
}

let last: Promise<unknown> = Promise.resolve();

/** One after the other: where two start at once, tfjs gives up the first. */
function start(name: string): Promise<string> {
  const result = last.then(() => startNow(name));
  last = result.catch(() => {});
  return result;
}

async function startNow(name: string): Promise<string> {
  restartIfLost(name);
  const { registryFactory } = tf.engine();
  if (!Object.hasOwn(registryFactory, name)) {
    await load(name, Object.keys(registryFactory));
  } else if (name === 'simd' || (name === 'webgpu' && isNode())) {
    // Registered by the user. If it does not start, the loader throws the reason, where tfjs prints a
    // stack.
    await loaders[name]?.();
  }
  if (!(await tf.setBackend(name))) {
    throw new BackendError(`the backend '${name}' does not start on this machine`);
  }
  if (name === 'cpu') {
    greetQuietly();
    // Pages are spared the script: they run simd or webgpu.
    if (isNode()) (await import('./cpu_slices.js')).registerCpuSlices();
  }
  if (name === 'tensorflow') {
    await (await import('./tensorflow/index.js')).chooseTensorflowKernels();
  }
  return name;
}

/** @throws BackendError for an unknown name */
async function load(name: string, registered: readonly string[]): Promise<void> {
  if (isTfjsBackend(name)) return loadInstalled(name);
  const loader = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  const own = ['auto', ...Object.keys(loaders), ...Object.keys(tfjsBackends)];
  const here = own.filter((each) => isNode() || !NODE_ONLY.includes(each));
  const known = [...new Set([...here, ...registered])].join(', ');
  if (!loader) throw new BackendError(`backend: expected one of ${known}, found '${name}'`);
  if (!isNode() && NODE_ONLY.includes(name)) {
    throw new BackendError(`the backend '${name}' needs Node; known in this page: ${known}`);
  }
  await loader();
}

/** In a page the bundle contains the backends; in Node they are installed. */
async function loadInstalled(name: TfjsBackend): Promise<void> {
  if (!isNode()) {
    const { package: own } = tfjsBackends[name];
    throw new BackendError(
      `the backend '${name}' is not registered: import '${own}' before you choose it`,
    );
  }
  await (await import('./tfjs_packages.js')).loadTfjsBackend(name);
}

/** What 'auto' tries, in order, before 'cpu'. */
async function bestFirst(): Promise<string[]> {
  if (!isNode()) return (await hasGpu()) ? ['webgpu', 'simd'] : ['simd'];
  const { installedTensorflow } = await import('./tensorflow/load.js');
  const { mayHaveCuda } = await import('./cuda/device_nodes.js');
  const gpu = installedTensorflow().some((entry) => entry.includes('tfjs-node-gpu'));
  const cuda = (await mayHaveCuda()) ? ['cuda'] : [];
  return [...cuda, ...(gpu ? ['tensorflow'] : []), 'simd'];
}

/** Whether a page has registered our backend 'webgpu', and there is an adapter that is not software. */
async function hasGpu(): Promise<boolean> {
  if (!hasStepCompiler('webgpu')) return false;
  const adapter = await findAdapter();
  return adapter !== undefined && !describeAdapter(adapter.info).isSoftware;
}

function isNode(): boolean {
  return typeof process !== 'undefined' && Boolean(process.versions?.node);
}

/** In a page the bundle contains the kernels. */
async function loadWebGpu(): Promise<void> {
  if (!isNode()) {
    throw new BackendError(
      "the backend 'webgpu' is not registered: import { registerWebGpuBackend } from " +
        "'@rene-js/layers/webgpu' and call it first",
    );
  }
  await (await import('./webgpu/load.js')).loadWebGpu();
}

async function loadCpu(): Promise<void> {
  await import('@tensorflow/tfjs-backend-cpu');
}

/** On its first tensor in Node, tfjs's CPU backend prints an advertisement for tfjs-node. Suppress it. */
function greetQuietly(): void {
  quietly(() => tf.scalar(0).dispose());
}
