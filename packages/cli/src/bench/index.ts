/**
 * Measures load, prefill and decode speed and memory of a model, as `rene bench` does.
 *
 * @module @rene-js/cli/bench
 */
export { checkpointBytes } from './checkpoint_bytes.js';
export { type BenchOptions, type BenchResult, measure, median, seconds } from './measure.js';
export { randomConfigs } from './random_configs.js';
export { randomModel } from './random_model.js';
