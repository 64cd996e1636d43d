// A matrix multiplication as cuBLASLt computes it.

import type { NumberFormat } from '../native/activations.js';
import type { Address } from '../native/address.js';

/** y = x w^T (+ residual). Strides are in values; sums are f32. */
export interface Gemm {
  /** Of x and w. */
  format: NumberFormat;
  rows: number;
  features: number;
  depth: number;
  x: Address;
  /** Stride between rows of x (transposed: along its depth). */
  xPitch: number;
  /** Whether x is (depth, rows) in memory. Default: false. Likewise w: (depth, features). */
  xTransposed?: boolean;
  w: Address;
  wPitch: number;
  wTransposed?: boolean;
  y: Address;
  yPitch: number;
  /** Default: f32. It may also be the format of x and w. */
  yFormat?: NumberFormat;
  /** f32 (rows, features), contiguous like y then; 0 or absent for none. */
  residual?: Address;
  /** Number of batched matmuls, and the strides between their matrices. Default: one. */
  batch?: { count: number; x: number; w: number; y: number };
}
