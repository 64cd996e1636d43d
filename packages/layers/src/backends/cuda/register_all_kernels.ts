// Registers this backend's kernels over those of tfjs's CPU backend, which run through the host.
import * as tf from '@tensorflow/tfjs-core';
import { asCuda } from './backend.js';
import { coreOps } from './core_ops.js';
import { BACKEND_NAME } from './kernel.js';
import { kernels } from './kernels.js';

/** Kernels that hand memory on and read nothing. */
const bookkeeping = new Set(['Identity', 'Reshape', 'ExpandDims', 'Cast', 'StringNGrams']);
const said = new Set<string>();

export function registerAllKernels(): void {
  const own = new Set<string>(kernels.map(({ kernelName }) => kernelName));
  for (const config of tf.getKernelsForBackend('cpu')) {
    // Custom kernels that the CPU backend got composed are composed here too, when first asked for.
    if (own.has(config.kernelName)) continue;
    tf.registerKernel({ ...config, backendName: BACKEND_NAME, kernelFunc: ownOrHost(config) });
  }
  for (const { kernelName, run } of kernels) {
    const kernelFunc: tf.KernelFunc = ({ inputs, attrs, backend }) =>
      run(inputs, attrs, asCuda(backend));
    tf.registerKernel({ kernelName, backendName: BACKEND_NAME, kernelFunc });
  }
}

/** A kernel on the device where there is one that takes the call, else through the host. */
function ownOrHost(config: tf.KernelConfig): tf.KernelFunc {
  const run = coreOps[config.kernelName];
  const host = throughHost(config);
  if (!run) return host;
  return (call) => run(call.inputs, { ...call.attrs }, asCuda(call.backend)) ?? host(call);
}

/** A CPU kernel, said once by name in tfjs's debug mode. */
function throughHost({ kernelName, kernelFunc }: tf.KernelConfig): tf.KernelFunc {
  if (bookkeeping.has(kernelName)) return kernelFunc;
  return (call) => {
    if (tf.env().getBool('DEBUG') && !said.has(kernelName)) {
      said.add(kernelName);
      console.warn(`cuda: ${kernelName} has no CUDA kernel and runs on the host`);
    }
    return kernelFunc(call);
  };
}
