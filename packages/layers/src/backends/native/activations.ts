// dtypes of the activations that kernels pass to each other.

/** The dtype of activations inside a mixer. */
export type ActivationFormat = 'f32' | 'bf16';
/** The dtypes that a kernel may read or write; f16 feeds a matmul with f16 weights. */
export type NumberFormat = ActivationFormat | 'f16';

export const numberBytes: Readonly<Record<NumberFormat, number>> = { f32: 4, bf16: 2, f16: 2 };

/** A row stride that aligns every row to 16 bytes, the size of a vector load. */
export function alignedRow(numbers: number): number {
  return Math.ceil(numbers / 8) * 8;
}
