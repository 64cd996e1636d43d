// The memory, traits and kernels of `cuda`, as ../native/ uses them. TensorFlow uses them too, on its own
// memory (../tensorflow/).

import type { PackedWeightAttrs } from '../../weights/packed_weight.js';
import type { Address } from '../native/address.js';
import type { BlockAllocator } from '../native/memory.js';
import type { NativeGradientOps, StepCacheTraits } from '../native/ops.js';
import { activationFormat, fitsVector, linearInputFormat } from './activations.js';
import { adamW } from './adamw_step.js';
import { convolve, convolveGrad } from './causal_conv1d.js';
import { crossEntropy, crossEntropyGrad } from './cross_entropy.js';
import { lookUp, lookUpGrad } from './embedding_lookup.js';
import { activate, activateGrad } from './gated_activation.js';
import { PACKED, PACKED_F16 } from './layout.js';
import { linear } from './linear.js';
import { convertRows } from './pack_rows.js';
import { norm, normGrad } from './rms_norm.js';
import { rotate } from './rotary.js';
import type { Runtime } from './runtime.js';
import { attend } from './sliding_window_attention.js';
import { attendGrad } from './sliding_window_attention_grad.js';
import { scan } from './ssd_scan.js';
import { scanGrad } from './ssd_scan_grad.js';

export const BACKEND_NAME = 'cuda';

type Kernels = NativeGradientOps;

export class CudaOps implements NativeGradientOps {
  readonly backendName = BACKEND_NAME;
  readonly weightLayouts = [PACKED, PACKED_F16];
  readonly fusesNorm = true;
  readonly fusesGate = false;
  readonly mixerTokens = { mamba2: 32768, mlp: 32768 };
  readonly activationFormat = activationFormat;
  readonly linearInputFormat = linearInputFormat;
  /** A state's tensors are f32: tfjs has no bf16. */
  readonly stepCache: StepCacheTraits = {
    firstSlots: 1024,
    format: (weights) => (weights === 'f32' ? 'f32' : 'bf16'),
    convert: (call) => convertRows(this.runtime, call),
  };

  readonly linear: Kernels['linear'] = (call) => linear(this.runtime, call);
  readonly norm: Kernels['norm'] = (call) => norm(this.runtime, call);
  readonly activate: Kernels['activate'] = (call) => activate(this.runtime, call);
  readonly convolve: Kernels['convolve'] = (call) => convolve(this.runtime, call);
  readonly scan: Kernels['scan'] = (call) => scan(this.runtime, call);
  readonly rotate: Kernels['rotate'] = (call) => rotate(this.runtime, call);
  readonly attend: Kernels['attend'] = (call) => attend(this.runtime, call);
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
    return this.runtime.pool;
  }

  get temporaries(): BlockAllocator {
    return this.runtime.pool;
  }

  upload(to: Address, bytes: Uint8Array): void {
    this.runtime.device.upload(to, bytes);
  }

  async download(into: Uint8Array, from: Address): Promise<void> {
    this.runtime.device.download(into, from);
  }

  copy(to: Address, from: Address, bytes: number): void {
    this.runtime.device.copy(to, from, bytes);
  }

  fusesConv(rows: number, attrs: PackedWeightAttrs): boolean {
    return fitsVector({ rows, attrs });
  }
}
