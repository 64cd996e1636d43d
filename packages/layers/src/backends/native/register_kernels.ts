// Registers a native backend's kernels over those of tfjs's CPU backend, which run on the host.
import * as tf from '@tensorflow/tfjs-core';

/** @param onHost the kernel to register for one of the CPU backend's. Default: that kernel itself. */
export function registerKernels(
  backendName: string,
  kernels: readonly tf.KernelConfig[],
  onHost: (config: tf.KernelConfig) => tf.KernelFunc = ({ kernelFunc }) => kernelFunc,
): void {
  const own = new Set(kernels.map(({ kernelName }) => kernelName));
  for (const config of tf.getKernelsForBackend('cpu')) {
    // Custom kernels that the CPU backend has composed are composed here too, when first asked for.
    if (own.has(config.kernelName)) continue;
    tf.registerKernel({ ...config, backendName, kernelFunc: onHost(config) });
  }
  for (const kernel of kernels) tf.registerKernel(kernel);
}
