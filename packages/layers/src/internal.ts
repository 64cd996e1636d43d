/**
 * Shared by the packages of this project. May change at any time: use `@rene-js/layers` instead.
 *
 * @internal
 * @module @rene-js/layers/internal
 */
export { freeMemory } from './backends/simd/platform.js';
export { FrameTurns, isPageThread, nextTurn } from './event_loop.js';
export type { KernelName, Kernels } from './kernels.js';
export {
  emptyKvCache,
  type KvCacheFormat,
  type KvCacheShape,
  kvCacheBytes,
  kvCacheFormatOf,
  kvCacheFromBytes,
  kvCacheShapeOf,
  kvCacheValues,
  registerBf16KvCaches,
  takesBf16KvCaches,
} from './kv_cache.js';
export type { ReadTensor, StoredTensor, StoredValues } from './layers/layer.js';
export { withPrefix } from './layers/parameters.js';
export type { MixerParts, NormParts } from './mixer_parts.js';
export {
  compileStep,
  type DecodeStep,
  hasStepCompiler,
  registerStepCompiler,
  type SamplingParams,
  type StepCompiler,
  type StepModel,
} from './step.js';
export { narrow } from './weights/narrow.js';
export {
  readAsF32,
  registerWeightPacker,
  weightBytes,
  widen,
} from './weights/packing.js';
