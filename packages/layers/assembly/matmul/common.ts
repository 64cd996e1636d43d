// Shared by the packed matmuls: arguments and epilogue.
//
// y = activation(x w^T + bias) + residual. The weight is stored in panels of 8 or 32 rows, the last one
// padded. A unit of work is one panel against one block of rows of x. Each value of y is the same sequence
// of operations for any division, so that rows do not depend on the batch.
import { int, ptr } from '../shared/arguments';
import { centre, halfBits } from '../shared/constants';
import { activate4, load4, madd, store4 } from '../shared/math';
import { MatMulArg, ReadStrategy } from './args';

/**
 * Stride between the quantised values of two rows in a group, in columns: the same for all groups, so that it
 * folds into loads.
 */
export const QUANTIZED_STRIDE: usize = 64;

/** Bytes of a column of half a bf16 panel: 16 rows. */
export const BF16_COLUMN: usize = 32;

export function readsTwoStreams(args: usize): bool {
  return (int(args, MatMulArg.readStrategy) & ReadStrategy.TwoStreams) !== 0;
}

/** The end of the prefetched pages of a weight that ends at panelsEnd; 0 for none. */
export function prefetchLimitOf(args: usize, panelsEnd: usize): usize {
  return (int(args, MatMulArg.readStrategy) & ReadStrategy.PrefetchPages) !== 0 ? panelsEnd : 0;
}

/** Bias, activation and residual on rows [m0, m1) of a panel's sums (m1 - m0, width), into y. */
export function finish(args: usize, sums: usize, width: i32, m0: i32, m1: i32, n0: i32): void {
  const bias = ptr(args, MatMulArg.bias);
  const residual = ptr(args, MatMulArg.residual);
  const activation = int(args, MatMulArg.activation);
  const yStride = ptr(args, MatMulArg.yStride);
  const residualStride = ptr(args, MatMulArg.residualStride);
  const columns = min(width, int(args, MatMulArg.outFeatures) - n0);
  if (columns === 32 && bias === 0 && residual === 0 && activation === 0) {
    let y = ptr(args, MatMulArg.y) + ((<usize>m0 * yStride + <usize>n0) << 2);
    for (let m = m0; m < m1; m++) {
      copy32(sums, y);
      sums += 128;
      y += yStride << 2;
    }
    return;
  }
  if (columns === 32 && bias === 0 && activation === 0) {
    const n0Bytes = (<usize>n0) << 2;
    for (let m = m0; m < m1; m++) {
      const y = ptr(args, MatMulArg.y) + ((<usize>m * yStride) << 2) + n0Bytes;
      const r = residual + ((<usize>m * residualStride) << 2) + n0Bytes;
      for (let at: usize = 0; at < 128; at += 32) {
        v128.store(y + at, f32x4.add(v128.load(sums + at), v128.load(r + at)));
        v128.store(y + at, f32x4.add(v128.load(sums + at, 16), v128.load(r + at, 16)), 16);
      }
      sums += 128;
    }
    return;
  }
  for (let m = m0; m < m1; m++) {
    const y = ptr(args, MatMulArg.y) + ((<usize>m * yStride + <usize>n0) << 2);
    const r = residual + ((<usize>m * residualStride + <usize>n0) << 2);
    for (let n = 0; n < columns; n += 4) {
      const at = (<usize>n) << 2;
      const count = columns - n;
      let v = v128.load(sums + at);
      if (bias !== 0) v = f32x4.add(v, load4(bias + ((<usize>n0) << 2) + at, count));
      if (activation !== 0) v = activate4(v, activation);
      if (residual !== 0) v = f32x4.add(v, load4(r + at, count));
      store4(y + at, v, count);
    }
    sums += (<usize>width) << 2;
  }
}

/** 32 values, for which a bulk copy has too much overhead. */
export function copy32(from: usize, to: usize): void {
  v128.store(to, v128.load(from));
  v128.store(to, v128.load(from, 16), 16);
  v128.store(to, v128.load(from, 32), 32);
  v128.store(to, v128.load(from, 48), 48);
  v128.store(to, v128.load(from, 64), 64);
  v128.store(to, v128.load(from, 80), 80);
  v128.store(to, v128.load(from, 96), 96);
  v128.store(to, v128.load(from, 112), 112);
}

/** Four scales or offsets: bf16 for an unsigned type, f16 / 2^112 for a signed one. */
export function parameters4<S>(p: usize): v128 {
  if (isSigned<S>()) {
    // Sign, exponent and mantissa at their f32 positions. The activations' scales correct the exponent's
    // bias.
    return v128.and(i32x4.shl(v128.load_ext<i16>(p), 13), halfBits());
  }
  return i32x4.shl(v128.load_ext<u16>(p), 16);
}

/** sums += dot (scale xScale) + offset xSum: the last step of every group, in this order. */
export function addGroup(
  sums: v128,
  dot: v128,
  scale: v128,
  offset: v128,
  xScale: v128,
  xSum: v128,
): v128 {
  return madd(f32x4.convert_i32x4_s(dot), f32x4.mul(scale, xScale), madd(offset, xSum, sums));
}

/** The 8 scales and 8 offsets of a group as f32. */
export function widenParameters<S>(p: usize, to: usize): void {
  v128.store(to, parameters4<S>(p));
  v128.store(to, parameters4<S>(p + 8), 16);
  v128.store(to, parameters4<S>(p + 16), 32);
  v128.store(to, parameters4<S>(p + 24), 48);
}

/** The offset for value 128, which is the centre of the int8 products. */
export function offsetOfCentre(scale: v128, offset: v128): v128 {
  return madd(scale, centre(), offset);
}

/** widenParameters with the offsets of code 128. */
export function widenCentred<S>(p: usize, to: usize): void {
  widenParameters<S>(p, to);
  v128.store(to, offsetOfCentre(v128.load(to), v128.load(to, 32)), 32);
  v128.store(to, offsetOfCentre(v128.load(to, 16), v128.load(to, 48)), 48);
}

/**
 * addGroup for 4 sums at c. The parameters are read from memory: as vectors they would take registers from
 * the loop before.
 */
export function addToRow(c: usize, dot: v128, parameters: usize, xs: usize, xb: usize): void {
  const scale = v128.load(parameters);
  const offset = v128.load(parameters, 32);
  const sums = v128.load(c);
  v128.store(c, addGroup(sums, dot, scale, offset, v128.load32_splat(xs), v128.load32_splat(xb)));
}
