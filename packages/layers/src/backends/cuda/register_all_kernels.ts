// Registers the kernels of this backend.
import * as tf from '@tensorflow/tfjs-core';
import { elementwiseKernels, matMulKernels, sumKernel } from '../native/core/arithmetic.js';
import { shapeKernels } from '../native/core/shapes.js';
import { registerKernels } from '../native/register_kernels.js';
import { asCuda } from './backend.js';
import { elementwiseIds } from './core_ops.js';
import { BACKEND_NAME } from './ops.js';

/** CPU kernels that return their input's memory and read no values. */
const bookkeeping = new Set(['Identity', 'Reshape', 'ExpandDims', 'Cast', 'StringNGrams']);
const reported = new Set<string>();

export function registerAllKernels(): void {
  const core = [
    ...shapeKernels,
    ...elementwiseKernels(elementwiseIds),
    ...matMulKernels,
    sumKernel,
  ];
  registerKernels(BACKEND_NAME, core, asCuda, throughHost);
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
