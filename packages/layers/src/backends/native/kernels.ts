// The custom kernels of the native backends.
import { adamWStepKernel } from './adamw_step.js';
import { attentionMixerKernel } from './attention_mixer.js';
import { causalConv1dGradKernel, causalConv1dKernel } from './causal_conv1d.js';
import { crossEntropyGradKernel, crossEntropyKernel } from './cross_entropy.js';
import { embeddingLookupGradKernel, embeddingLookupKernel } from './embedding_lookup.js';
import { gatedActivationGradKernel, gatedActivationKernel } from './gated_activation.js';
import { gatedMLPKernel } from './gated_mlp.js';
import type { NativeKernel } from './kernel.js';
import { mamba2MixerKernel } from './mamba2_mixer.js';
import type { NativeOps } from './ops.js';
import { packedMatMulKernel } from './packed_matmul.js';
import {
  gatedRmsNormGradKernel,
  gatedRmsNormKernel,
  rmsNormGradKernel,
  rmsNormKernel,
} from './rms_norm.js';
import { slidingWindowAttentionKernel } from './sliding_window_attention.js';
import { slidingWindowAttentionGradKernel } from './sliding_window_attention_grad.js';
import { ssdScanKernel } from './ssd_scan.js';
import { ssdScanGradKernel } from './ssd_scan_grad.js';

/** Forward kernels, which need NativeOps alone. */
export const forwardKernels: readonly NativeKernel<NativeOps>[] = [
  attentionMixerKernel,
  causalConv1dKernel,
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

/** All kernels, for a backend that has gradients too. */
export const nativeKernels: readonly NativeKernel[] = [
  ...forwardKernels,
  adamWStepKernel,
  causalConv1dGradKernel,
  crossEntropyGradKernel,
  embeddingLookupGradKernel,
  gatedActivationGradKernel,
  gatedRmsNormGradKernel,
  rmsNormGradKernel,
  slidingWindowAttentionGradKernel,
  ssdScanGradKernel,
];
