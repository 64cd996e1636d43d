// The environment of the processes that tests start.

/**
 * This process's environment without the emulated CUDA device, on which a command or an example would take
 * minutes. The suites of kernels and models cover that device.
 */
export function childEnv(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { RENE_CUDA, ...rest } = process.env;
  const device = RENE_CUDA === undefined || RENE_CUDA === 'emulated' ? {} : { RENE_CUDA };
  return { ...rest, ...device, ...more };
}
