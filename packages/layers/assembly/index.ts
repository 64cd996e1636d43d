// The exports of the WebAssembly module. Kernels are exported too, so that none is inlined into the switch
// that calls it, where it would compete for registers.

export { adamWStep } from './adamw/adamw_step';
export { attention } from './attention/attention';
export { attentionGrad } from './attention/attention_grad';
export { writeKvCache } from './attention/kv_cache';
export { causalConv1d } from './causal_conv1d/causal_conv1d';
export { causalConv1dGrad } from './causal_conv1d/causal_conv1d_grad';
export { copy2d } from './core/copy';
export { binary, unary } from './core/elementwise';
export { readProbe } from './core/read_probe';
export { softmax } from './core/softmax';
export { sum } from './core/sum';
export { transpose } from './core/transpose';
export { crossEntropy, crossEntropyGrad } from './cross_entropy/cross_entropy';
export { embeddingLookupGrad } from './embedding_lookup/embedding_lookup_grad';
export { gatedActivation } from './gated_activation/gated_activation';
export { gatedActivationGrad } from './gated_activation/gated_activation_grad';
export { matMulBf16 } from './matmul/bf16';
export { hasInt8Dot4 } from './matmul/byte_dots';
export { matMulF32 } from './matmul/f32';
export { blockF32, tile6x8 } from './matmul/f32_block';
export { packPanels } from './matmul/f32_panels';
export { matMulInt4 } from './matmul/int4';
export { matMulInt8 } from './matmul/int8';
export { quantizeActivations } from './matmul/quantize';
export { rmsNorm } from './norm/norm';
export { rmsNormGrad } from './norm/norm_grad';
export { packFloat, packInt, repackInt, unpackRows } from './packing/pack';
export { ssdScanGrad } from './ssd_scan/grad';
export { ssdScan } from './ssd_scan/ssd_scan';
export { replay, run, serve } from './threads';
