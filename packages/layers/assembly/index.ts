// The WebAssembly module: its two entries. Kernels are exported too, so that none is inlined into the
// switch that calls it, where it would share registers with the rest.
export { attention, writeRing } from './attention';
export { causalConv1d } from './conv';
export { copy2d } from './copy';
export { crossEntropy, crossEntropyGrad, softmax } from './loss';
export { matMulBf16, matMulF32 } from './matmul_float';
export { matMulInt4 } from './matmul_int4';
export { matMulInt8 } from './matmul_int8';
export { gatedActivation, rmsNorm } from './norm';
export { packFloat, packInt, repackInt, unpackRows } from './pack';
export { quantizeActivations, readProbe } from './quantize';
export { ssdScan } from './scan';
export { run, serve } from './threads';
