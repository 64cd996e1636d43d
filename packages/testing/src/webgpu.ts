// Whether the WebGPU tests can run in this process, and how they say that they cannot.
import { existsSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';

/** The description of SwiftShader, a Vulkan driver in software, in Debian's package chromium. */
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

let answer: Promise<string | undefined> | undefined;

/** Says what has to be installed before WebGPU runs in Node; undefined if nothing has to. */
export function missingForWebGpu(): Promise<string | undefined> {
  answer ??= findMissing();
  return answer;
}

/**
 * A mocha hook that skips a suite outside of `npm run test:webgpu`: the npm package webgpu and a software
 * driver may crash the process, and with it all tests that share it.
 */
export async function skipWithoutWebGpu(this: Mocha.Context): Promise<void> {
  if (process.env.RENE_TEST_WEBGPU !== 'required') return this.skip();
  const missing = await missingForWebGpu();
  if (missing !== undefined) throw new Error(missing);
}

async function findMissing(): Promise<string | undefined> {
  // Software is slow, but gives the same results on every machine.
  if (existsSync(SWIFTSHADER)) process.env.VK_ICD_FILENAMES ??= SWIFTSHADER;
  try {
    const { create } = await import('webgpu');
    const adapter = await create([]).requestAdapter();
    if (adapter) return undefined;
    return 'no WebGPU adapter: apt-get install libvulkan1 chromium (for SwiftShader)';
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `npm's webgpu does not load (${why}): npm install webgpu`;
  }
}

/** The device of the current backend 'webgpu'. */
export function currentGpuDevice(): GPUDevice {
  const device: unknown = Reflect.get(tf.backend(), 'device');
  if (device instanceof GPUDevice) return device;
  throw new Error(`the backend '${tf.getBackend()}' has no GPU device`);
}

/** Counts the buffers that a device makes and destroys from now on. */
export function countBuffers(device: GPUDevice): { alive: () => number; stop: () => void } {
  const alive = new Set<GPUBuffer>();
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    alive.add(buffer);
    buffer.destroy = () => {
      alive.delete(buffer);
      return destroy();
    };
    return buffer;
  };
  const stop = () => {
    device.createBuffer = createBuffer;
  };
  return { alive: () => alive.size, stop };
}

/** Lets a device say that it has smaller limits, and notes the most that is bound. */
export function limitBindings(
  device: GPUDevice,
  bytes: number,
  buffers = device.limits.maxStorageBuffersPerShaderStage,
): { largest: () => number; mostBuffers: () => number; restore: () => void } {
  const { limits } = device;
  const names = Object.keys(Object.getPrototypeOf(limits));
  const values = Object.fromEntries(names.map((name) => [name, Reflect.get(limits, name)]));
  const own = { maxStorageBufferBindingSize: bytes, maxStorageBuffersPerShaderStage: buffers };
  Object.defineProperty(device, 'limits', { value: { ...values, ...own }, configurable: true });
  let largest = 0;
  let mostBuffers = 0;
  const createBindGroup = device.createBindGroup.bind(device);
  device.createBindGroup = (descriptor) => {
    const entries = [...descriptor.entries];
    // The first one is the uniform buffer of the arguments.
    mostBuffers = Math.max(mostBuffers, entries.length - 1);
    for (const { resource } of entries) {
      if ('buffer' in resource) largest = Math.max(largest, resource.size ?? 0);
    }
    return createBindGroup(descriptor);
  };
  const restore = () => {
    device.createBindGroup = createBindGroup;
    Object.defineProperty(device, 'limits', { value: limits, configurable: true });
  };
  return { largest: () => largest, mostBuffers: () => mostBuffers, restore };
}
