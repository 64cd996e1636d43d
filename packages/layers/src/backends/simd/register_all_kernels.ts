// Registers this backend's kernels over those of tfjs's CPU backend.
import * as tf from '@tensorflow/tfjs-core';
import { adamWStepKernel } from './adamw_step.js';
import { causalConv1dKernel } from './causal_conv1d.js';
import { causalConv1dGradKernel } from './causal_conv1d_grad.js';
import { castKernel } from './core/cast.js';
import { elementwiseKernels } from './core/elementwise.js';
import { matMulKernels } from './core/mat_mul.js';
import { reductionKernels } from './core/reductions.js';
import { shapeKernels } from './core/shapes.js';
import { crossEntropyGradKernel, crossEntropyKernel } from './cross_entropy.js';
import { embeddingLookupKernel } from './embedding_lookup.js';
import { embeddingLookupGradKernel } from './embedding_lookup_grad.js';
import { gatedActivationKernel } from './gated_activation.js';
import { gatedActivationGradKernel } from './gated_activation_grad.js';
import { gatedMLPKernel } from './gated_mlp.js';
import { BACKEND_NAME } from './kernel.js';
import { mamba2MixerKernel } from './mamba2_mixer.js';
import { packedMatMulKernel } from './packed_matmul.js';
import { gatedRmsNormKernel, rmsNormKernel } from './rms_norm.js';
import { gatedRmsNormGradKernel, rmsNormGradKernel } from './rms_norm_grad.js';
import { slidingWindowAttentionKernel } from './sliding_window_attention.js';
import { slidingWindowAttentionGradKernel } from './sliding_window_attention_grad.js';
import { ssdScanKernel } from './ssd_scan.js';
import { ssdScanGradKernel } from './ssd_scan_grad.js';

const kernels: tf.KernelConfig[] = [
  adamWStepKernel,
  castKernel,
  causalConv1dGradKernel,
  causalConv1dKernel,
  crossEntropyGradKernel,
  crossEntropyKernel,
  embeddingLookupGradKernel,
  embeddingLookupKernel,
  gatedActivationGradKernel,
  gatedActivationKernel,
  gatedMLPKernel,
  gatedRmsNormGradKernel,
  gatedRmsNormKernel,
  mamba2MixerKernel,
  packedMatMulKernel,
  rmsNormGradKernel,
  rmsNormKernel,
  slidingWindowAttentionGradKernel,
  slidingWindowAttentionKernel,
  ssdScanGradKernel,
  ssdScanKernel,
  ...elementwiseKernels,
  ...matMulKernels,
  ...reductionKernels,
  ...shapeKernels,
];

export function registerAllKernels(): void {
  const own = new Set(kernels.map(({ kernelName }) => kernelName));
  for (const config of tf.getKernelsForBackend('cpu')) {
    // Custom kernels that the CPU backend got composed are composed here too, when first asked for.
    if (!own.has(config.kernelName)) {
      tf.registerKernel({ ...config, backendName: BACKEND_NAME });
    }
  }
  for (const kernel of kernels) tf.registerKernel(kernel);
}
