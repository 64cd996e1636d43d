// The packages of tfjs's other backends, and loading them in Node from where they are installed.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../errors.js';
import { quietly } from './quietly.js';
import { type TfjsBackend, tfjsBackends } from './tfjs_backends.js';

/** Where packages are looked for: beside this file, then where the program runs. */
const installed = (): readonly string[] => [import.meta.url, `${process.cwd()}/`];

/**
 * Loads the package of a tfjs backend, which registers it.
 *
 * @param places files or folders from which packages are resolved
 * @throws BackendError that says what to install, or why what is installed does not serve
 */
export async function loadTfjsBackend(
  name: TfjsBackend,
  places: readonly string[] = installed(),
): Promise<void> {
  const { package: own, others } = tfjsBackends[name];
  const entryOf = (each: string) => packageEntry(each, places);
  const missing = [own, ...others].filter((each) => entryOf(each) === undefined);
  if (missing.length > 0) {
    const note = name === 'webgl' ? ` (and a web page: ${NO_WEBGL})` : '';
    throw new BackendError(
      `the backend '${name}' needs ${missing.join(' and ')}: npm install ${missing.join(' ')}${note}`,
    );
  }
  if (name === 'webgpu') await provideWebGpu(entryOf('webgpu') ?? 'webgpu');
  const entry = entryOf(own) ?? own;
  try {
    quietly(() => createRequire(import.meta.url)(entry));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError(`${own} is installed (${entry}) but does not load: ${why}`, { cause });
  }
  if (tf.findBackendFactory(name)) return;
  throw new BackendError(
    name === 'webgl'
      ? `the backend 'webgl' needs a web page: ${NO_WEBGL}`
      : `${own} (${entry}) has registered '${name}' with another copy of @tensorflow/tfjs-core than ` +
          'this program uses: install both in one place, in versions that fit',
  );
}

const NO_WEBGL = "Node has no WebGL; use 'simd', 'wasm' or 'webgpu'";

/** Node has no WebGPU of its own: that of the package 'webgpu' (Dawn) takes its place. */
async function provideWebGpu(entry: string): Promise<void> {
  const navigator: unknown = Reflect.get(globalThis, 'navigator') ?? {};
  if (typeof navigator !== 'object' || navigator === null || 'gpu' in navigator) return;
  try {
    const dawn: { create(options: string[]): object; globals: object } = await import(
      pathToFileURL(entry).href
    );
    Object.assign(globalThis, dawn.globals);
    Object.defineProperty(navigator, 'gpu', { value: dawn.create([]), configurable: true });
    if (Reflect.get(globalThis, 'navigator') === undefined) {
      Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError(`the package webgpu (${entry}) does not load: ${why}`, { cause });
  }
}

/** The file of an installed package. */
function packageEntry(name: string, places: readonly string[]): string | undefined {
  for (const place of places) {
    try {
      return createRequire(place).resolve(name);
    } catch {
      // Not installed there.
    }
  }
  return undefined;
}
