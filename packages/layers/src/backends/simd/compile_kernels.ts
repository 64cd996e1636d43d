// The kernels' module: with relaxed SIMD where the engine has it.
import { BackendError } from '../../errors.js';
import { allowRelaxedSimd, environment, readKernels } from './platform.js';
import { type WasmModule, webAssembly } from './webassembly.js';

/** @throws BackendError if the kernels are not found, or the engine does not run them */
export async function compileKernels(
  tryRelaxed: boolean,
): Promise<{ module: WasmModule; relaxed: boolean }> {
  if (tryRelaxed && environment('RENE_RELAXED_SIMD') !== '0') {
    allowRelaxedSimd();
    const bytes = await readKernels(true);
    // Without relaxed SIMD the plain module does the same, more slowly.
    if (webAssembly.validate(bytes)) return { module: await compile(bytes), relaxed: true };
  }
  const bytes = await readKernels(false);
  if (!webAssembly.validate(bytes)) {
    throw new BackendError("the backend 'simd' needs WebAssembly with SIMD and threads");
  }
  return { module: await compile(bytes), relaxed: false };
}

/** @throws BackendError */
async function compile(bytes: Uint8Array): Promise<WasmModule> {
  try {
    return await webAssembly.compile(bytes);
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\.*$/, '');
    const advice = /unsafe-eval|Content.Security.Policy/i.test(reason)
      ? ". The page's Content-Security-Policy must allow 'wasm-unsafe-eval' in script-src"
      : '';
    throw new BackendError(
      `the backend 'simd' cannot compile its WebAssembly: ${reason}${advice}`,
      { cause },
    );
  }
}
