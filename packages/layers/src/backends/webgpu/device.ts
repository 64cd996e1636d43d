// The GPU device that the backend opens: the adapter's limits, and the features that kernels use.
import { BackendError } from '../../errors.js';

/** Description of a GPU. */
export interface AdapterInfo {
  /** `vendor architecture (description)`, as far as the browser tells. */
  name: string;
  /** Whether it is software on the CPU. */
  isSoftware: boolean;
}

export interface OpenedDevice {
  device: GPUDevice;
  adapterInfo: GPUAdapterInfo;
}

const FEATURES: readonly GPUFeatureName[] = ['shader-f16', 'subgroups', 'timestamp-query'];

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const;

/** @returns undefined where there is no WebGPU or no adapter */
export async function findAdapter(): Promise<GPUAdapter | undefined> {
  // In Node `navigator.gpu` is the package webgpu's; pages of insecure origins have none.
  const gpu: GPU | undefined = Reflect.get(Reflect.get(globalThis, 'navigator') ?? {}, 'gpu');
  return (await gpu?.requestAdapter({ powerPreference: 'high-performance' })) ?? undefined;
}

/** @throws BackendError where there is no adapter, or it gives no device */
export async function openDevice(): Promise<OpenedDevice> {
  const adapter = await findAdapter();
  if (!adapter) throw new BackendError(`the backend 'webgpu' finds no GPU adapter: ${advice()}`);
  try {
    const device = await adapter.requestDevice({
      requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
    });
    return { device, adapterInfo: adapter.info };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError(`the backend 'webgpu' cannot open its GPU: ${why}`, { cause });
  }
}

function advice(): string {
  return typeof process === 'undefined'
    ? 'this browser has no WebGPU, or the page is not served over https or from localhost'
    : 'install the Vulkan loader and a driver (Debian: apt-get install libvulkan1 mesa-vulkan-drivers)';
}

export function describeAdapter(info: GPUAdapterInfo): AdapterInfo {
  const { vendor, architecture, description } = info;
  const name = [vendor, architecture].filter(Boolean).join(' ');
  return {
    name: description ? `${name} (${description})`.trim() : name || 'unknown',
    isSoftware:
      info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(`${name} ${description}`),
  };
}
