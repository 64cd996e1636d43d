// The environment of the processes that tests start.

/**
 * Ours, but never the emulated CUDA device: the command line and the examples are the same on every
 * backend, and there they would take minutes each. The suites of kernels and models are for that device.
 */
export function childEnv(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { RENE_CUDA, ...rest } = process.env;
  const device = RENE_CUDA === undefined || RENE_CUDA === 'emulated' ? {} : { RENE_CUDA };
  return { ...rest, ...device, ...more };
}
