// dtypes of the activations that kernels pass to each other.

/** What the kernels inside a mixer pass on. */
export type ActivationFormat = 'f32' | 'bf16';
/** What a kernel may read or write; f16 feeds a matmul by f16 weights. */
export type NumberFormat = ActivationFormat | 'f16';

export const numberBytes: Readonly<Record<NumberFormat, number>> = { f32: 4, bf16: 2, f16: 2 };

/** A row stride that starts every row at a multiple of 16 bytes, which kernels read at once. */
export function alignedRow(numbers: number): number {
  return Math.ceil(numbers / 8) * 8;
}
