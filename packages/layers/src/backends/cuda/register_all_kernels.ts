// Registers the kernels of this backend.
import * as tf from '@tensorflow/tfjs-core';
import { kernelConfig } from '../native/kernel.js';
import { nativeKernels } from '../native/kernels.js';
import { registerKernels } from '../native/register_kernels.js';
import { asCuda } from './backend.js';
import { coreOps } from './core_ops.js';
import { BACKEND_NAME } from './ops.js';

/** CPU kernels that return their input's memory and read no values. */
const bookkeeping = new Set(['Identity', 'Reshape', 'ExpandDims', 'Cast', 'StringNGrams']);
const reported = new Set<string>();

export function registerAllKernels(): void {
  const kernels = nativeKernels.map((kernel) => kernelConfig(BACKEND_NAME, kernel, asCuda));
  registerKernels(BACKEND_NAME, kernels, ownOrHost);
}

/** A kernel on the device if it takes the call, else the CPU backend's. */
function ownOrHost(config: tf.KernelConfig): tf.KernelFunc {
  const run = coreOps[config.kernelName];
  const host = throughHost(config);
  if (!run) return host;
  return (call) => run(call.inputs, { ...call.attrs }, asCuda(call.backend)) ?? host(call);
}

/** A CPU kernel; tfjs's debug mode names it once. */
function throughHost({ kernelName, kernelFunc }: tf.KernelConfig): tf.KernelFunc {
  if (bookkeeping.has(kernelName)) return kernelFunc;
  return (call) => {
    if (tf.env().getBool('DEBUG') && !reported.has(kernelName)) {
      reported.add(kernelName);
      console.warn(`cuda: ${kernelName} has no CUDA kernel and runs on the host`);
    }
    return kernelFunc(call);
  };
}
