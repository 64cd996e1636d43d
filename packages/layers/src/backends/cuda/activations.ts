// Activation dtypes between the kernels of a mixer. activations.h is the kernels' side.
//
// Activations are bf16 in a prefill of many tokens with bf16, int8 or int4 weights: the scan and attention
// round their operands anyway, and activations are most of the memory traffic. They stay f32
// - for few tokens, as in a compiled decode step: a layer's activations fit the L2 cache (68 KB per
//   sequence of Rene), and weights and states are megabytes. The batch size does not matter, so that a
//   sequence's result does not depend on the batch. Matmuls of few rows have f32 kernels only: bf16
//   costs registers and spills there, and would save a thousandth of the bytes;
// - with f32 weights, which promise f32 accuracy, and with f16 ones: bf16 has fewer bits of precision than
//   f16, and unnormalised projections may exceed f16's maximum of 65,504;
// - for the residual stream, to which all layers add; for dt, which is summed over tokens and then
//   exponentiated; for states and norm statistics, which are sums too.
// The input of a matmul of 64 rows or more is written in the matmul's input dtype if nothing else reads it.
// Tensors are f32 in any case, since tfjs has no bf16.
import type { PackedWeightAttrs } from '../../weights/packed_weight.js';
import type { ActivationFormat, NumberFormat } from '../native/activations.js';
import type { LinearCall } from '../native/calls.js';

/** Minimum number of tokens for tensor cores in scan and attention. With fewer, f32 kernels are as fast. */
export const MANY_TOKENS = 64;
/** Up to this many rows, a matmul is bound by reading the weight. */
const FEW_ROWS = 8;

/**
 * Up to this many rows, a matmul on the tensor cores with bf16 input takes each row as two: rounded, and what
 * rounding has left. Both fit the tile of rows that a block computes, so the weight is still read once.
 */
export const SPLIT_ROWS = MANY_TOKENS - 1;

/** Whether a matmul is bound by reading its weight: then one kernel, with norm and convolution fused. */
export function fitsVector({ rows, attrs }: Pick<LinearCall, 'rows' | 'attrs'>): boolean {
  const [, columns = 0] = attrs.shape;
  return rows <= FEW_ROWS && (attrs.format !== 'f32' || columns % 4 === 0);
}

/** dtype of the activations between a mixer's matmuls, for `length` tokens of a sequence. */
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
 * @param before weights of the matmuls before it; if one is f32, nothing is rounded
 */
export function linearInputFormat(
  rows: number,
  weight: PackedWeightAttrs,
  before: readonly PackedWeightAttrs[],
): NumberFormat {
  const isExact = [weight, ...before].some(({ format }) => format === 'f32');
  if (isExact || rows <= FEW_ROWS) return 'f32';
  if (weight.format === 'f16') return 'f16';
  return rows <= SPLIT_ROWS ? 'f32' : 'bf16';
}
