// Sizes of packed weights that packers, matmuls and lookups share. assembly/matmul/ describes the panels.
import { BackendError } from '../../errors.js';
import { type IntFormat, isIntFormat, type WeightFormat } from '../../weights/packed_weight.js';

/** Panels; integer formats with bf16 scales and offsets. */
export const PANELS = 'simd';
/** Panels of an integer format with f16 scales and offsets, as in some checkpoints. */
export const PANELS_F16 = 'simd-f16';

export function bitsOf(format: IntFormat): 8 | 4 {
  return format === 'int8' ? 8 : 4;
}

/** Rows per panel. */
export function panelRows(format: WeightFormat): number {
  return isIntFormat(format) ? 8 : 32;
}

/** Columns per scale in memory: a file's groups of 128 become two of 64. */
export function memoryGroup(groupSize: number): number {
  if (groupSize === 32) return 32;
  if (groupSize > 0 && groupSize % 64 === 0) return 64;
  throw new BackendError(`groupSize: expected 32, 64 or 128, found ${groupSize}`);
}

/** Bytes of a panel of `columns` columns. */
export function panelBytes(format: WeightFormat, columns: number, group: number): number {
  if (isIntFormat(format)) return Math.ceil(columns / group) * (group * bitsOf(format) + 32);
  return columns * 32 * (format === 'f32' ? 4 : 2);
}

/** Bytes of a packed matrix: its panels, followed by one word for each of their pages. */
export function packedBytes(format: WeightFormat, rows: number, columns: number, group: number) {
  const panels = Math.ceil(rows / panelRows(format)) * panelBytes(format, columns, group);
  return { panels, total: panels + 4 * pageCount(format, panels) };
}

/** Bytes of a page; see assembly/pages.ts. */
export const PAGE = 4096;

/** Pages whose first words are kept. f32 panels, which take a GB or two, have none. */
function pageCount(format: WeightFormat, bytes: number): number {
  return format === 'f32' ? 0 : Math.ceil(bytes / PAGE);
}
