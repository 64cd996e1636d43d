// @rene-js/cli/bench: what benchmarks of the project are made of.

export { checkpointBytes } from './checkpoint_bytes.js';
export { type BenchOptions, type BenchResult, measure, median, seconds } from './measure.js';
export { randomModel } from './random_model.js';
