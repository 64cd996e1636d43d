// 'webgpu' as its tests take it.
import { expect } from 'chai';
import { webGpuInfo } from '../../../src/backends/webgpu/index.js';
import { useBackend } from '../../../src/index.js';

export async function useWebGpu(): Promise<void> {
  await useBackend('webgpu');
}

/** Fails a suite if the device reports an error while it runs: of validation, of memory. */
export function expectNoGpuErrors(): void {
  let errors: number | undefined;
  before(async () => {
    await useWebGpu();
    ({ errors } = webGpuInfo());
  });
  after(async () => {
    // The suite was skipped.
    if (errors === undefined) return;
    await useWebGpu();
    expect(webGpuInfo().errors, 'errors that the device has reported').to.equal(errors);
  });
}
