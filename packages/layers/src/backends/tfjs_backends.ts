// tfjs's backends that this project has no part in: each is registered by a package of its own.

export type TfjsBackend = 'wasm' | 'webgl' | 'webgpu';

interface TfjsPackages {
  readonly package: string;
  /** What it needs in Node besides. */
  readonly others: readonly string[];
}

export const tfjsBackends: Readonly<Record<TfjsBackend, TfjsPackages>> = {
  wasm: { package: '@tensorflow/tfjs-backend-wasm', others: [] },
  webgl: { package: '@tensorflow/tfjs-backend-webgl', others: [] },
  webgpu: { package: '@tensorflow/tfjs-backend-webgpu', others: ['webgpu'] },
};

export function isTfjsBackend(name: string): name is TfjsBackend {
  return Object.hasOwn(tfjsBackends, name);
}
