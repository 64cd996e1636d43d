// Starts the backend in Node, with the WebGPU of the npm package 'webgpu' (Dawn).
import { pathToFileURL } from 'node:url';
import { BackendError } from '../../errors.js';
import { packageEntry, packagePlaces, requirePackages } from '../installed_packages.js';

const TFJS = '@tensorflow/tfjs-backend-webgpu';

/**
 * Provides WebGPU, registers the backend and opens its device.
 *
 * @param places files or folders from which packages are resolved
 * @throws BackendError that says what to install: a package, the Vulkan loader, a driver
 */
export async function loadWebGpu(places: readonly string[] = packagePlaces()): Promise<void> {
  requirePackages('webgpu', hasWebGpu() ? [TFJS] : [TFJS, 'webgpu'], places);
  // Before tfjs's package is loaded: it registers its kernels only where there is WebGPU.
  if (!hasWebGpu()) await provideWebGpu(packageEntry('webgpu', places) ?? 'webgpu');
  await (await loadBackend()).loadWebGpuBackend();
}

function hasWebGpu(): boolean {
  return Reflect.has(Reflect.get(globalThis, 'navigator') ?? {}, 'gpu');
}

async function provideWebGpu(entry: string): Promise<void> {
  try {
    const dawn: { create(options: string[]): object; globals: object } = await import(
      pathToFileURL(entry).href
    );
    Object.assign(globalThis, dawn.globals);
    const navigator: object = Reflect.get(globalThis, 'navigator') ?? {};
    Object.defineProperty(navigator, 'gpu', { value: dawn.create([]), configurable: true });
    if (Reflect.get(globalThis, 'navigator') === undefined) {
      Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError(`the package webgpu (${entry}) does not load: ${why}`, { cause });
  }
}

async function loadBackend(): Promise<typeof import('./index.js')> {
  try {
    return await import('./index.js');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError(`${TFJS} is installed but does not load: ${why}`, { cause });
  }
}
