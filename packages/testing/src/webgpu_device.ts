// The GPU device of the backend 'webgpu' as tests watch and limit it. Runs in pages as well.
import * as tf from '@tensorflow/tfjs-core';

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

/** Makes a device report other limits, and records the largest binding and the most buffers of a launch. */
export function limitDevice(
  device: GPUDevice,
  own: {
    readonly maxStorageBufferBindingSize?: number;
    readonly maxStorageBuffersPerShaderStage?: number;
    readonly maxComputeWorkgroupsPerDimension?: number;
  },
): { largest: () => number; mostBuffers: () => number; restore: () => void } {
  const { limits } = device;
  const names = Object.keys(Object.getPrototypeOf(limits));
  const values = Object.fromEntries(names.map((name) => [name, Reflect.get(limits, name)]));
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
