// Registers the kernels of this backend beside those of tfjs's.
import * as tf from '@tensorflow/tfjs-core';
import { kernelConfig } from '../native/kernel.js';
import { forwardKernels } from '../native/kernels.js';
import { BACKEND_NAME } from './ops.js';
import { tensorsOf } from './tensors.js';

/** Gradients are composed: tfjs's own kernels and these. */
export function registerAllKernels(): void {
  for (const kernel of forwardKernels) {
    const { kernelName, kernelFunc } = kernelConfig(BACKEND_NAME, kernel, tensorsOf);
    // A composed one may be there if the backend was in use before.
    if (tf.getKernel(kernelName, BACKEND_NAME)) tf.unregisterKernel(kernelName, BACKEND_NAME);
    tf.registerKernel({
      kernelName,
      backendName: BACKEND_NAME,
      kernelFunc: (call) => {
        const tensors = tensorsOf(call.backend);
        const outputs = tensors.runKernel(() => kernelFunc(call));
        // tfjs encodes what follows in an encoder of its own.
        tensors.runtime.submit();
        return outputs;
      },
    });
  }
}
