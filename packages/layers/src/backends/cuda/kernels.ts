// Every custom kernel that there is in CUDA.
import { causalConv1dKernel } from './causal_conv1d.js';
import { crossEntropyGradKernel, crossEntropyKernel } from './cross_entropy.js';
import { embeddingLookupKernel } from './embedding_lookup.js';
import { gatedActivationKernel } from './gated_activation.js';
import { gatedMLPKernel } from './gated_mlp.js';
import type { CudaKernel } from './kernel.js';
import { mamba2MixerKernel } from './mamba2_mixer.js';
import { packedMatMulKernel } from './packed_matmul.js';
import { gatedRmsNormKernel, rmsNormKernel } from './rms_norm.js';
import { slidingWindowAttentionKernel } from './sliding_window_attention.js';
import { ssdScanKernel } from './ssd_scan.js';

export const kernels: readonly CudaKernel[] = [
  causalConv1dKernel,
  crossEntropyGradKernel,
  crossEntropyKernel,
  embeddingLookupKernel,
  gatedActivationKernel,
  gatedMLPKernel,
  gatedRmsNormKernel,
  mamba2MixerKernel,
  packedMatMulKernel,
  rmsNormKernel,
  slidingWindowAttentionKernel,
  ssdScanKernel,
];
