// 'webgpu' as its tests take it.
import { useBackend } from '../../../src/index.js';

export async function useWebGpu(): Promise<void> {
  await useBackend('webgpu');
}
