// tfjs's own ops on `simd`, as ../../native/core/ uses them.
import type { CoreOps } from '../../native/core/core_ops.js';
import type { Runtime } from '../runtime.js';
import { sumMiddle } from '../sum_middle.js';
import { copyStrided, gather } from './copy.js';
import { binary, unary } from './elementwise.js';
import { matMul } from './mat_mul.js';

export function simdCoreOps(runtime: Runtime): CoreOps {
  return {
    copyStrided: (call) => copyStrided(runtime, call),
    fill: (to, size, bits) => void runtime.ints(to, size).fill(bits),
    gather: (call) => gather(runtime, call),
    binary: (call) => binary(runtime, call),
    unary: (op, x, y, size) => unary(runtime, op, x, y, size),
    matMul: (call) => matMul(runtime, call),
    sumMiddle: (x, y, outer, middle, inner) => sumMiddle(runtime, x, y, outer, middle, inner),
  };
}
