// tfjs's own backends: each is registered by its package.

export type TfjsBackend = 'wasm' | 'webgl';

export const tfjsBackends: Readonly<Record<TfjsBackend, { readonly package: string }>> = {
  wasm: { package: '@tensorflow/tfjs-backend-wasm' },
  webgl: { package: '@tensorflow/tfjs-backend-webgl' },
};

export function isTfjsBackend(name: string): name is TfjsBackend {
  return Object.hasOwn(tfjsBackends, name);
}
