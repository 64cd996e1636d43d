// How the products by f32 and bf16 weights are cut into units; the numbers are the same however they are.
import type { Temporaries } from '../native/memory.js';
import { KernelId } from './kernel_ids.js';
import type { Runtime } from './runtime.js';

export interface FloatBlocks {
  /** Rows of a block. */
  block: number;
  /** Panels of a unit that share a gathered part of x; 0: one panel, and x as it is. */
  atOnce: number;
  units: number;
  /** Bytes that a thread needs. */
  scratch: number;
}

/** Rows of x from which on a plain matrix is made panels once, and not by every block of rows. */
export const ROWS_WORTH_PACKING = 192;
/** Rows of x from which on they are gathered six at a time. */
export const ROWS_WORTH_GATHERING = 12;

/** Rows of a block whose x is read as it is. */
const BLOCK = 64;
/** Rows of a block that is gathered from rows of x, and from its columns: pieces of those should be long. */
const ROWS_GATHERED = 12;
const COLUMNS_GATHERED = 720;
/** Panels that share a gathered part of x: at most, and where there are too few units for the threads. */
const PANELS_AT_ONCE = 64;
const LEAST_PANELS = 5;
/** Units for each thread that divide the work well enough. */
const UNITS_PER_THREAD = 8;
/** Columns that are multiplied by at once; see assembly/panels_f32.ts. */
const COLUMN_BLOCK = 192;

/** For assembly/matmul_f32_block.ts; transposed, x is (columns, rows). */
export function floatBlocks(
  { threads }: Runtime,
  rows: number,
  panels: number,
  transposed: boolean,
): FloatBlocks {
  const wanted = threads === 1 ? 1 : UNITS_PER_THREAD * threads;
  const fewest = Math.ceil(panels / PANELS_AT_ONCE);
  const most = Math.ceil(panels / LEAST_PANELS);
  const largest = transposed ? COLUMNS_GATHERED : ROWS_GATHERED;
  const block = stripsOf(Math.min(largest, Math.max(12, (rows * most) / wanted)), rows);
  const blocks = Math.ceil(rows / block);
  const parts = Math.max(fewest, Math.min(most, Math.ceil(wanted / blocks)));
  const atOnce = Math.ceil(panels / parts);
  const units = blocks * Math.ceil(panels / atOnce);
  return { block, atOnce, units, scratch: scratchOf(block, atOnce) };
}

/** Blocks of at most about `most` rows, all about as large, of whole strips of six. */
function stripsOf(most: number, rows: number): number {
  return Math.ceil(rows / Math.ceil(rows / most) / 6) * 6;
}

/** For assembly/matmul_bf16.ts and matmul_f32.ts. */
export function panelByPanel(rows: number, panels: number): FloatBlocks {
  const block = balancedBlock(rows, BLOCK);
  const units = panels * Math.ceil(rows / block);
  return { block, atOnce: 0, units, scratch: scratchOf(block, 1) };
}

/** Sums of a block, and for f32 weights some columns of a panel and of x. */
function scratchOf(block: number, panels: number): number {
  return panels * block * 128 + COLUMN_BLOCK * (128 + block * 4);
}

/** Blocks of at most `most` rows, all about as large, of a multiple of 4. */
export function balancedBlock(rows: number, most: number): number {
  const blocks = Math.ceil(rows / most);
  return Math.ceil(rows / blocks / 4) * 4;
}

/** The address of a plain f32 matrix as panels; transposed, it is (columns, outFeatures). */
export function packPanels(
  runtime: Runtime,
  temporaries: Temporaries,
  plain: { matrix: number; transposed: boolean; outFeatures: number; columns: number },
): number {
  const { matrix, transposed, outFeatures, columns } = plain;
  const panels = Math.ceil(outFeatures / 32);
  const packed = temporaries.allocate(panels * 32 * columns * 4);
  const stride = transposed ? outFeatures : columns;
  runtime.args.set([matrix, stride, transposed ? 1 : 0, outFeatures, columns, packed]);
  runtime.run(KernelId.PackPanels, panels, runtime.chunk(8 * columns));
  return packed;
}
