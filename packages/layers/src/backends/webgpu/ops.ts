// The memory, traits and kernels of `webgpu`, as ../native/ uses them.
import type { PackedWeightAttrs } from '../../weights/packed_weight.js';
import type { Address } from '../native/address.js';
import type { BlockAllocator } from '../native/memory.js';
import type { NativeOps, StepCacheTraits } from '../native/ops.js';
import { convolve } from './causal_conv1d.js';
import { crossEntropy } from './cross_entropy.js';
import { lookUp } from './embedding_lookup.js';
import { activate } from './gated_activation.js';
import { PACKED, PACKED_F16 } from './layout.js';
import { fitsBinding, linear } from './linear.js';
import { MOST_ROWS } from './matvec.wgsl.js';
import { norm } from './rms_norm.js';
import { rotate } from './rotary.js';
import type { WebGpuRuntime } from './runtime.js';
import { attend } from './sliding_window_attention.js';
import { scan } from './ssd_scan.js';

export const BACKEND_NAME = 'webgpu';

/** Storage buffers of a matmul with norm, bias and convolution. */
const FUSED_BUFFERS = 8;

export class WebGpuOps implements NativeOps {
  readonly backendName = BACKEND_NAME;
  readonly weightLayouts = [PACKED, PACKED_F16];
  readonly fusesNorm = true;
  readonly fusesGate = false;
  /** A prompt's inner activations fit WebGPU's default binding of 128 MiB. */
  readonly mixerTokens = { mamba2: 2048, mlp: 4096 };
  readonly stepCache: StepCacheTraits = { firstSlots: 256, format: () => 'f32' };

  readonly linear: NativeOps['linear'] = (call) => linear(this.runtime, call);
  readonly norm: NativeOps['norm'] = (call) => norm(this.runtime, call);
  readonly activate: NativeOps['activate'] = (call) => activate(this.runtime, call);
  readonly convolve: NativeOps['convolve'] = (call) => convolve(this.runtime, call);
  readonly scan: NativeOps['scan'] = (call) => scan(this.runtime, call);
  readonly rotate: NativeOps['rotate'] = (call) => rotate(this.runtime, call);
  readonly attend: NativeOps['attend'] = (call) => attend(this.runtime, call);
  readonly lookUp: NativeOps['lookUp'] = (call) => lookUp(this.runtime, call);
  readonly crossEntropy: NativeOps['crossEntropy'] = (call) => crossEntropy(this.runtime, call);

  constructor(readonly runtime: WebGpuRuntime) {}

  get blocks(): BlockAllocator {
    return this.runtime.pool;
  }

  get temporaries(): BlockAllocator {
    return this.runtime.pool;
  }

  upload(to: Address, bytes: Uint8Array): void {
    this.runtime.upload(to, bytes);
  }

  download(into: Uint8Array, from: Address): Promise<void> {
    return this.runtime.download(into, from);
  }

  copy(to: Address, from: Address, bytes: number): void {
    this.runtime.copy(to, from, bytes);
  }

  fusesConv(rows: number, weight: PackedWeightAttrs): boolean {
    const { maxStorageBuffersPerShaderStage } = this.runtime.device.limits;
    return (
      rows <= MOST_ROWS &&
      maxStorageBuffersPerShaderStage >= FUSED_BUFFERS &&
      fitsBinding(this.runtime, weight)
    );
  }

  activationFormat(): 'f32' {
    return 'f32';
  }

  linearInputFormat(): 'f32' {
    return 'f32';
  }
}
