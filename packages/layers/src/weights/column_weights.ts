// Weights of a matrix's columns for its quantisation to 4 bits.
//
// Columns that are small beside others usually multiply large activations: checkpoints move factors between a
// norm's weight and the columns that read it. A grid that suits the other columns turns their near-zero weights
// into a constant error, times those activations. Their squared errors therefore weigh as much as if each
// column contributed equally to the output.
import { type StoredMatrix, storedBytes, widen } from './packing.js';

/** Rows that estimate the columns' sizes. */
const ROWS = 256;
/** Columns below this share of their group's median size get a weight. */
const SMALL = 1 / 4;
/** Largest ratio of sizes that is weighted. */
const LARGEST_RATIO = 64;

/**
 * The weights, from the root mean squares of the first rows.
 *
 * @param firstRows bytes of the matrix's first rows; those after the 256th are not used
 * @param group columns per scale
 * @returns one per column, (median size of its group / its size)^2 or 1, padded with zeros to a multiple of 4;
 *   undefined if all are 1
 */
export function columnWeights(
  { shape: [, columns], dtype }: Pick<StoredMatrix, 'shape' | 'dtype'>,
  firstRows: Uint8Array,
  group: number,
): Float32Array<ArrayBuffer> | undefined {
  const rowBytes = columns * storedBytes[dtype];
  const count = Math.min(firstRows.length / rowBytes, ROWS);
  const values = new Float32Array(count * columns);
  widen(firstRows.subarray(0, count * rowBytes), dtype, values);
  const sizes = columnSizes(values, columns);
  const weights = new Float32Array(Math.ceil(columns / 4) * 4).fill(1, 0, columns);
  let isWeighted = false;
  for (let first = 0; first < columns; first += group) {
    const own = sizes.subarray(first, first + group);
    const median = own.slice().sort()[own.length >> 1] ?? 0;
    for (const [i, size] of own.entries()) {
      // Not for NaN and infinities.
      if (!(size < median * SMALL) || median === Number.POSITIVE_INFINITY) continue;
      weights[first + i] = Math.min(median / size, LARGEST_RATIO) ** 2;
      isWeighted = true;
    }
  }
  return isWeighted ? weights : undefined;
}

/** Root mean squares of the columns. */
function columnSizes(values: Float32Array, columns: number): Float64Array {
  const sums = new Float64Array(columns);
  for (let at = 0; at < values.length; at += columns) {
    for (let column = 0; column < columns; column++) {
      const value = values[at + column] ?? 0;
      sums[column] = (sums[column] ?? 0) + value * value;
    }
  }
  return sums.map((sum) => Math.sqrt((sum * columns) / values.length));
}
