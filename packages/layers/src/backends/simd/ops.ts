// The memory, traits and kernels of `simd`, as ../native/ uses them.
import { kvCacheFormatFor } from '../../kv_cache.js';
import type { Address } from '../native/address.js';
import type { AttentionCall } from '../native/calls.js';
import type { BlockAllocator } from '../native/memory.js';
import type { NativeGradientOps } from '../native/ops.js';
import { adamW } from './adamw_step.js';
import { convolve, convolveGrad } from './causal_conv1d.js';
import { crossEntropy, crossEntropyGrad } from './cross_entropy.js';
import { lookUp, lookUpGrad } from './embedding_lookup.js';
import { activate, activateGrad } from './gated_activation.js';
import { PANELS, PANELS_F16 } from './layout.js';
import { linear } from './linear.js';
import { norm, normGrad } from './rms_norm.js';
import { rotate } from './rotary.js';
import type { Runtime } from './runtime.js';
import { attend, writeCache } from './sliding_window_attention.js';
import { attendGrad } from './sliding_window_attention_grad.js';
import { scan } from './ssd_scan.js';
import { scanGrad } from './ssd_scan_grad.js';

export const BACKEND_NAME = 'simd';

type Kernels = NativeGradientOps;

export class SimdOps implements NativeGradientOps {
  readonly backendName = BACKEND_NAME;
  readonly weightLayouts = [PANELS, PANELS_F16];
  readonly fusesNorm = false;
  readonly fusesGate = true;
  /** Small enough that a mixer's activations stay in the caches. */
  readonly mixerTokens = { mamba2: 512, mlp: 1024 };
  readonly stepCache = { firstSlots: 64, format: kvCacheFormatFor };

  readonly linear: Kernels['linear'] = (call) => linear(this.runtime, call);
  readonly norm: Kernels['norm'] = (call) => norm(this.runtime, call);
  readonly activate: Kernels['activate'] = (call) => activate(this.runtime, call);
  readonly convolve: Kernels['convolve'] = (call) => convolve(this.runtime, call);
  readonly scan: Kernels['scan'] = (call) => scan(this.runtime, call);
  readonly rotate: Kernels['rotate'] = (call) => rotate(this.runtime, call);
  readonly attend: Kernels['attend'] = (call) => attend(this.runtime, call);
  readonly writeCache = (call: AttentionCall) => writeCache(this.runtime, call);
  readonly lookUp: Kernels['lookUp'] = (call) => lookUp(this.runtime, call);
  readonly crossEntropy: Kernels['crossEntropy'] = (call) => crossEntropy(this.runtime, call);
  readonly normGrad: Kernels['normGrad'] = (call) => normGrad(this.runtime, call);
  readonly activateGrad: Kernels['activateGrad'] = (call) => activateGrad(this.runtime, call);
  readonly convolveGrad: Kernels['convolveGrad'] = (call) => convolveGrad(this.runtime, call);
  readonly scanGrad: Kernels['scanGrad'] = (call) => scanGrad(this.runtime, call);
  readonly attendGrad: Kernels['attendGrad'] = (call) => attendGrad(this.runtime, call);
  readonly lookUpGrad: Kernels['lookUpGrad'] = (call) => lookUpGrad(this.runtime, call);
  readonly crossEntropyGrad: Kernels['crossEntropyGrad'] = (call) =>
    crossEntropyGrad(this.runtime, call);
  readonly adamW: Kernels['adamW'] = (call) => adamW(this.runtime, call);

  constructor(readonly runtime: Runtime) {}

  get blocks(): BlockAllocator {
    return this.runtime;
  }

  get temporaries(): BlockAllocator {
    return this.runtime.temporaries;
  }

  upload(to: Address, bytes: Uint8Array): void {
    this.runtime.bytes(to, bytes.length).set(bytes);
  }

  view(address: Address, bytes: number): Uint8Array {
    return this.runtime.bytes(address, bytes);
  }

  async download(into: Uint8Array, from: Address): Promise<void> {
    into.set(this.runtime.bytes(from, into.length));
  }

  copy(to: Address, from: Address, bytes: number): void {
    this.runtime.bytes(to, bytes).set(this.runtime.bytes(from, bytes));
  }

  fusesConv(): boolean {
    return false;
  }

  activationFormat(): 'f32' {
    return 'f32';
  }

  linearInputFormat(): 'f32' {
    return 'f32';
  }
}
