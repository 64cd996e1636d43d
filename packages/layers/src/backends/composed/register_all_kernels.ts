// The composed kernels: tfjs-core ops only, so they run on every tfjs backend.
import { registerComposed } from '../../registry.js';
import { adamWStepKernel } from './adamw_step.js';
import { attentionMixerKernel } from './attention_mixer.js';
import { causalConv1dGradKernel, causalConv1dKernel } from './causal_conv1d.js';
import { crossEntropyGradKernel, crossEntropyKernel } from './cross_entropy.js';
import { embeddingLookupGradKernel, embeddingLookupKernel } from './embedding_lookup.js';
import { gatedActivationGradKernel, gatedActivationKernel } from './gated_activation.js';
import { gatedMLPKernel } from './gated_mlp.js';
import { gatedRmsNormGradKernel, gatedRmsNormKernel } from './gated_rms_norm.js';
import { mamba2MixerKernel } from './mamba2_mixer.js';
import { packedMatMulKernel } from './packed_matmul.js';
import { rmsNormGradKernel, rmsNormKernel } from './rms_norm.js';
import { slidingWindowAttentionKernel } from './sliding_window_attention.js';
import { slidingWindowAttentionGradKernel } from './sliding_window_attention_grad.js';
import { ssdScanKernel } from './ssd_scan.js';
import { ssdScanGradKernel } from './ssd_scan_grad.js';

registerComposed([
  rmsNormKernel,
  rmsNormGradKernel,
  gatedRmsNormKernel,
  gatedRmsNormGradKernel,
  causalConv1dKernel,
  causalConv1dGradKernel,
  ssdScanKernel,
  ssdScanGradKernel,
  slidingWindowAttentionKernel,
  slidingWindowAttentionGradKernel,
  packedMatMulKernel,
  embeddingLookupKernel,
  embeddingLookupGradKernel,
  gatedActivationKernel,
  gatedActivationGradKernel,
  crossEntropyKernel,
  crossEntropyGradKernel,
  adamWStepKernel,
  mamba2MixerKernel,
  attentionMixerKernel,
  gatedMLPKernel,
]);
