// The backend 'cuda' in tests.
import { BackendError } from '@rene-js/layers';
import { loadCudaBackend, registerCudaBackend } from '@rene-js/layers/cuda';

/** Whether tests of 'cuda' can run: the emulated device is built for Linux on x64 only. */
export const canTestCuda =
  (process.platform === 'linux' && process.arch === 'x64') || isCudaAskedFor();

/**
 * Registers 'cuda' on this machine's GPU. It uses the emulated device with RENE_CUDA=emulated, or without a
 * GPU unless RENE_TEST_BACKENDS names cuda.
 *
 * @throws BackendError if a GPU was requested and there is none
 */
export async function registerTestCuda(): Promise<void> {
  try {
    await loadCudaBackend();
  } catch (error) {
    if (isCudaAskedFor() || !(error instanceof BackendError)) throw error;
    registerCudaBackend({ emulated: true });
  }
}

function isCudaAskedFor(): boolean {
  return process.env.RENE_TEST_BACKENDS?.split(',').includes('cuda') ?? false;
}
