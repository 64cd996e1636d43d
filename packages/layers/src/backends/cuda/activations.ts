// What the numbers are that pass from kernel to kernel; activations.h is their other side.
//
// The kernels of a mixer hand on bf16 where a call brings many tokens of a text and the weights are bf16,
// int8 or int4: there the scan and attention round their factors anyway, and what is handed on is most of
// the bytes that move. It stays f32
// - for few tokens, a compiled step's among them: a layer's activations then stay in the L2 cache (68 KB
//   a row of Rene's), beside megabytes of weights and of states. How many rows are at work does not
//   count, so that a row does not depend on its company. Products of few rows know f32 alone: bf16
//   there cost registers and spills, and would save a thousandth of the bytes;
// - beside f32 weights, where all is exact, and f16 ones: who chose their 11 bits is not given 8, and
//   raw projections may pass f16's 65,504;
// - for the residual stream, which all layers add to; for dt, which is summed over tokens and then
//   exponentiated; for states and norms' statistics, which are sums too.
// What a product alone reads, though, is written as the product takes it in any call of many rows: it
// would be rounded before the product in any case.
// tfjs has no bf16 tensors: ops of their own read and write f32.
import type { PackedWeightAttrs } from '../../weights/packed_weight.js';
import type { ActivationFormat, NumberFormat } from '../native/activations.js';
import type { LinearCall } from '../native/calls.js';

/**
 * From this many tokens of a text on, scan and attention use tensor cores; for fewer, exact kernels are as
 * fast.
 */
export const MANY_TOKENS = 64;
/** Up to this many rows, a matmul is bound by reading the weight. */
const FEW_ROWS = 8;

/** Whether a matmul is bound by reading its weight: then one kernel, with norm and convolution fused. */
export function fitsVector({ rows, attrs }: Pick<LinearCall, 'rows' | 'attrs'>): boolean {
  const [, columns = 0] = attrs.shape;
  return rows <= FEW_ROWS && (attrs.format !== 'f32' || columns % 4 === 0);
}

/** dtype of the activations between a mixer's matmuls, for `length` tokens of a text. */
export function activationFormat(
  length: number,
  weights: readonly PackedWeightAttrs[],
): ActivationFormat {
  const rounded = weights.every(({ format }) => format !== 'f32' && format !== 'f16');
  return rounded && length >= MANY_TOKENS ? 'bf16' : 'f32';
}

/**
 * dtype in which the kernel before a matmul writes the matmul's input.
 *
 * @param before weights of the matmuls before it; with f32 ones nothing is rounded
 */
export function linearInputFormat(
  rows: number,
  weight: PackedWeightAttrs,
  before: readonly PackedWeightAttrs[],
): NumberFormat {
  const isExact = [weight, ...before].some(({ format }) => format === 'f32');
  if (isExact || rows <= FEW_ROWS) return 'f32';
  return weight.format === 'f16' ? 'f16' : 'bf16';
}
