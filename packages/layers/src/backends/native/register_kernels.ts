// Registers a native backend's kernels, and tfjs's CPU kernels, which run on the host, where it has none.
import * as tf from '@tensorflow/tfjs-core';
import type { CoreBackend, CoreKernel } from './core/core_kernel.js';
import { kernelConfig } from './kernel.js';
import { nativeKernels } from './kernels.js';
import type { NativeGradientOps } from './ops.js';

/**
 * @param core kernels of tfjs's own ops
 * @param onHost wraps a CPU kernel. Default: the kernel itself.
 */
export function registerKernels<Backend extends CoreBackend<NativeGradientOps>>(
  backendName: string,
  core: readonly CoreKernel<Backend>[],
  backendOf: (backend: unknown) => Backend,
  onHost: (config: tf.KernelConfig) => tf.KernelFunc = ({ kernelFunc }) => kernelFunc,
): void {
  const own = nativeKernels.map((kernel) => kernelConfig(backendName, kernel, backendOf));
  const customNames = new Set(own.map(({ kernelName }) => kernelName));
  const coreRuns = new Map(core.map(({ kernelName, run }) => [kernelName, run]));
  for (const config of tf.getKernelsForBackend('cpu')) {
    const { kernelName } = config;
    // Custom kernels that the CPU backend has composed are composed here too, on first use.
    if (customNames.has(kernelName)) continue;
    const host = onHost(config);
    const run = coreRuns.get(kernelName);
    const kernelFunc: tf.KernelFunc = run
      ? (call) => run(call.inputs, call.attrs, backendOf(call.backend)) ?? host(call)
      : host;
    tf.registerKernel({ ...config, backendName, kernelFunc });
  }
  for (const kernel of own) tf.registerKernel(kernel);
}
