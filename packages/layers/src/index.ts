/**
 * Mamba-2, sliding-window attention and MLP layers as custom tfjs ops.
 *
 * @module @rene-js/layers
 */
import './backends/composed/register_all_kernels.js';
import './gradients/register_all_gradients.js';

export { useBackend } from './backends/use_backend.js';
export { BackendError, InvalidArgumentError, ReneError } from './errors.js';
export { recomputeInBackward } from './gradients/recompute.js';
export { type Activation, activations } from './kernels.js';
export { AttentionState } from './layers/attention_state.js';
export { Embedding } from './layers/embedding.js';
export { GatedMLP, type GatedMLPConfig, MLP, type MLPConfig } from './layers/gated_mlp.js';
export * as initializers from './layers/initializers.js';
export type { LayerState, Mixer } from './layers/layer.js';
export { LayerNorm, layerNorm } from './layers/layer_norm.js';
export { Linear } from './layers/linear.js';
export {
  disposeParameters,
  initParameters,
  makeParameters,
  type ParameterOptions,
  type ParameterProgress,
  type ParameterValues,
  randomParameters,
  randomValues,
} from './layers/make_parameters.js';
export { type Mamba2Config, Mamba2Mixer } from './layers/mamba2_mixer.js';
export { Mamba2State } from './layers/mamba2_state.js';
export { type Parameter, type ParameterSpec, Parameters } from './layers/parameters.js';
export { type Norm, ResidualBlock } from './layers/residual_block.js';
export { RMSNorm } from './layers/rms_norm.js';
export {
  type AttentionConfig,
  SlidingWindowAttention,
} from './layers/sliding_window_attention.js';
export { type AdamWTensors, adamWStep } from './ops/adamw_step.js';
export {
  type AttentionMixerSizes,
  type AttentionMixerWeights,
  attentionMixer,
} from './ops/attention_mixer.js';
export { type CausalConv1dOptions, causalConv1d } from './ops/causal_conv1d.js';
export { crossEntropy } from './ops/cross_entropy.js';
export { embeddingLookup } from './ops/embedding_lookup.js';
export { gatedActivation } from './ops/gated_activation.js';
export { type GatedMLPOptions, type GatedMLPWeights, gatedMLP } from './ops/gated_mlp.js';
export { type GatedRmsNormOptions, gatedRmsNorm } from './ops/gated_rms_norm.js';
export { type Mamba2MixerSizes, type Mamba2MixerWeights, mamba2Mixer } from './ops/mamba2_mixer.js';
export { type PackedMatMulOptions, packedMatMul } from './ops/packed_matmul.js';
export { rmsNorm } from './ops/rms_norm.js';
export {
  type KvCache,
  type SlidingWindowAttentionOptions,
  slidingWindowAttention,
} from './ops/sliding_window_attention.js';
export { type SsdScanOptions, ssdScan } from './ops/ssd_scan.js';
export {
  disposeWeight,
  type PackedWeight,
  rowsWeight,
  type WeightFormat,
} from './weights/packed_weight.js';
export {
  type QuantizedMatrix,
  type QuantizedRows,
  type StoredDType,
  type StoredMatrix,
  type WeightPacker,
  weightPacker,
} from './weights/packing.js';
