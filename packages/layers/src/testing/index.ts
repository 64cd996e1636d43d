// For tests and verification, not for models.
export { type GoldenAttrs, type NamedTensors, runGoldenOp } from './golden_ops.js';
