// What the kernels of tfjs's own ops ask of a native backend.
import type { Address } from '../address.js';

/** Copies numbers of 32 bits between strided arrays of one shape. Strides count numbers. */
export interface CopyCall {
  shape: readonly number[];
  from: Address;
  fromStrides: readonly number[];
  to: Address;
  toStrides: readonly number[];
}

/** y (outer, count, inner) = x (outer, length, inner) at `count` indices of its middle axis. */
export interface GatherCall {
  x: Address;
  /** int32 */
  indices: Address;
  y: Address;
  outer: number;
  length: number;
  inner: number;
  count: number;
  dtype: 'float32' | 'int32';
}

/** y = op(a, b), both broadcast to `shape`. */
export interface BinaryCall {
  op: number;
  a: Address;
  aShape: readonly number[];
  b: Address;
  bShape: readonly number[];
  y: Address;
  shape: readonly number[];
}

/** y (rows, features) = a (rows, depth) b (depth, features) + bias, for each matrix of a batch. */
export interface MatMulCall {
  batch: number;
  rows: number;
  depth: number;
  features: number;
  a: Address;
  /** From a matrix of the batch to the next; 0 where all share one. */
  aStep: number;
  /** Whether a is (depth, rows) in memory. */
  transposeA: boolean;
  b: Address;
  bStep: number;
  transposeB: boolean;
  bias: Address;
  y: Address;
}

/** A method that returns false has done nothing; then tfjs's CPU kernel runs. */
export interface CoreOps {
  copyStrided(call: CopyCall): boolean;
  /** @param bits of each number */
  fill(to: Address, size: number, bits: number): void;
  gather(call: GatherCall): boolean;
  binary(call: BinaryCall): boolean;
  unary(op: number, x: Address, y: Address, size: number): void;
  matMul(call: MatMulCall): boolean;
  /** y (outer, inner) = the sums over the middle axis of x (outer, middle, inner). */
  sumMiddle(x: Address, y: Address, outer: number, middle: number, inner: number): void;
}
