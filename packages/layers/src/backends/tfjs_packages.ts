// Loads the packages of tfjs's other backends in Node.
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../errors.js';
import { packageEntry, packagePlaces, requirePackages } from './installed_packages.js';
import { quietly } from './quietly.js';
import { type TfjsBackend, tfjsBackends } from './tfjs_backends.js';

/**
 * Loads the package of a tfjs backend, which registers it.
 *
 * @param places files or folders from which packages are resolved
 * @throws BackendError that says what to install, or why the installed package does not work
 */
export async function loadTfjsBackend(
  name: TfjsBackend,
  places: readonly string[] = packagePlaces(),
): Promise<void> {
  const { package: own } = tfjsBackends[name];
  requirePackages(name, [own], places, name === 'webgl' ? ` (and a web page: ${NO_WEBGL})` : '');
  const entry = packageEntry(own, places) ?? own;
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
