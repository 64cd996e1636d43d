// Whether there may be an NVIDIA GPU: a look at /dev, before the backend and koffi are loaded.
import { readdir } from 'node:fs/promises';

/** Device files of the Linux driver, of Jetson boards and of WSL. */
const NODE = /^(nvidia|nvhost|nvgpu|nvmap|dxg$)/;

/** False only where CUDA cannot run: the driver has no device file, and RENE_CUDA asks for none. */
export async function mayHaveCuda(): Promise<boolean> {
  if (process.env.RENE_CUDA) return true;
  if (process.platform !== 'linux') return true;
  const names = await readdir('/dev').catch(() => ['nvidia']);
  return names.some((name) => NODE.test(name));
}
