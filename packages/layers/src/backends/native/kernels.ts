// The custom kernels of the native backends.
import { adamWStepKernel } from './adamw_step.js';
import { attentionMixerKernel } from './attention_mixer.js';
import { causalConv1dKernel } from './causal_conv1d.js';
import { causalConv1dGradKernel } from './causal_conv1d_grad.js';
import { crossEntropyGradKernel, crossEntropyKernel } from './cross_entropy.js';
import { embeddingLookupKernel } from './embedding_lookup.js';
import { embeddingLookupGradKernel } from './embedding_lookup_grad.js';
import { gatedActivationKernel } from './gated_activation.js';
import { gatedActivationGradKernel } from './gated_activation_grad.js';
import { gatedMLPKernel } from './gated_mlp.js';
import type { NativeKernel } from './kernel.js';
import { mamba2MixerKernel } from './mamba2_mixer.js';
import type { NativeOps } from './ops.js';
import { packedMatMulKernel } from './packed_matmul.js';
import { gatedRmsNormKernel, rmsNormKernel } from './rms_norm.js';
import { gatedRmsNormGradKernel, rmsNormGradKernel } from './rms_norm_grad.js';
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
