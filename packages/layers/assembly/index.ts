// The WebAssembly module: its entries. Kernels are exported too, so that none is inlined into the
// switch that calls it, where it would share registers with the rest.
export { attention } from './attention';
export { attentionGrad } from './attention_grad';
export { dotsAreWhole } from './bytes';
export { causalConv1d } from './conv';
export { causalConv1dGrad } from './conv_grad';
export { copy2d } from './copy';
export { adamWStep, binary, embeddingLookupGrad, sum, transpose, unary } from './elementwise';
export { writeRing } from './kv_ring';
export { crossEntropy, crossEntropyGrad, softmax } from './loss';
export { matMulBf16 } from './matmul_bf16';
export { matMulF32 } from './matmul_f32';
export { blockF32, tile6x8 } from './matmul_f32_block';
export { matMulInt4 } from './matmul_int4';
export { matMulInt8 } from './matmul_int8';
export { gatedActivation, rmsNorm } from './norm';
export { gatedActivationGrad, rmsNormGrad } from './norm_grad';
export { packFloat, packInt, repackInt, unpackRows } from './pack';
export { packPanels } from './panels_f32';
export { quantizeActivations, readProbe } from './quantize';
export { ssdScan } from './scan';
export { ssdScanGrad } from './scan_grad';
export { replay, run, serve } from './threads';
