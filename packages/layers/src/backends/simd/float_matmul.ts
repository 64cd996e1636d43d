// Matmuls by f32 and bf16 weights, and their division into units. The results do not depend on the
// division.
import { KernelId } from '../../../assembly/kernel_ids.js';
import { FloatMatMulArg, MatMulArg, PackPanelsArg } from '../../../assembly/matmul/args.js';
import type { Address } from '../native/address.js';
import type { LinearCall } from '../native/calls.js';
import { withTemporaries } from '../native/memory.js';
import { activationIds } from './activation_ids.js';
import { ArgumentLayout } from './arguments.js';
import { FIRST_STRATEGY } from './read_strategy.js';
import type { Runtime } from './runtime.js';

/** y = activation(x w^T + bias) + residual */
export interface FloatMatMul
  extends Pick<LinearCall, 'x' | 'xStride' | 'rows' | 'weight' | 'y' | 'yStride' | 'activation'> {
  /** Whether x is (columns, rows). */
  xTransposed: boolean;
  format: 'f32' | 'bf16';
  /** Stride between rows (transposed: columns) of a plain matrix; 0 for panels. */
  weightStride: number;
  /** Whether the plain matrix is (columns, outFeatures). */
  weightTransposed: boolean;
  outFeatures: number;
  columns: number;
  bias: Address;
  residual: Address;
  /** Minimum number of units that a thread takes at a time. */
  chunk(blocks: Blocks): number;
}

interface Blocks {
  /** Rows of a block. */
  block: number;
  /** Panels of a unit that share a gathered block of x; 0: one panel, and x is not gathered. */
  atOnce: number;
  units: number;
  /** Scratch bytes per thread. */
  scratch: number;
}

const matMulArguments = new ArgumentLayout(MatMulArg);
const floatArguments = new ArgumentLayout(FloatMatMulArg);
const packArguments = new ArgumentLayout(PackPanelsArg);

/** From this many rows of x on, a plain matrix is packed into panels once, not in each block of rows. */
const ROWS_WORTH_PACKING = 192;
/** From this many rows on, x is gathered six rows at a time. */
const ROWS_WORTH_GATHERING = 12;

/** Rows per block if x is not gathered. */
const BLOCK = 64;
/** Rows per block gathered from rows of x, and from columns of x, where longer pieces are faster. */
const ROWS_GATHERED = 12;
const COLUMNS_GATHERED = 720;
/** Panels that share a gathered block of x: maximum, and if there are too few units for the threads. */
const PANELS_AT_ONCE = 64;
const LEAST_PANELS = 5;
/** Units per thread for an even division of the work. */
const UNITS_PER_THREAD = 8;
/** Columns that are multiplied at a time; see assembly/matmul/f32_panels.ts. */
const COLUMN_BLOCK = 192;

export function floatMatMul(runtime: Runtime, call: FloatMatMul): void {
  const { x, y, rows, outFeatures, columns, format, bias, residual } = call;
  const { xStride, yStride, xTransposed, weightTransposed } = call;
  const panels = Math.ceil(outFeatures / 32);
  const isPacked = call.weightStride !== 0 && rows >= ROWS_WORTH_PACKING;
  const isGathered = format === 'f32' && (xTransposed || rows >= ROWS_WORTH_GATHERING);
  const blocks = isGathered
    ? gatheredBlocks(runtime, rows, panels, xTransposed)
    : panelByPanel(rows, panels);
  withTemporaries(runtime.temporaries, (temporaries) => {
    let { weight, weightStride } = call;
    if (isPacked) {
      weight = temporaries.allocate(panels * 32 * columns * 4);
      packPanels(runtime, call, panels, weight);
      weightStride = 0;
    }
    matMulArguments.write(runtime, {
      weight,
      x,
      y,
      rows,
      outFeatures,
      columns,
      bias,
      residual,
      activation: activationIds[call.activation ?? 'linear'],
      panels,
      block: blocks.block,
      yStride,
      residualStride: outFeatures,
      readStrategy: runtime.readStrategy ?? FIRST_STRATEGY,
    });
    const panelsAtOnce = blocks.atOnce;
    const layout = { xStride, weightStride, weightTransposed, xTransposed, panelsAtOnce };
    floatArguments.write(runtime, layout);
    const id = format === 'bf16' ? KernelId.MatMulBf16 : KernelId.MatMulF32;
    runtime.run(id, blocks.units, call.chunk(blocks), blocks.scratch);
  });
}

/** Packs a plain f32 matrix. */
function packPanels(runtime: Runtime, call: FloatMatMul, panels: number, packed: Address): void {
  const { weight: matrix, weightStride: stride, weightTransposed: transposed } = call;
  const { outFeatures, columns } = call;
  const values = { matrix, stride, transposed, outFeatures, columns, panels: packed };
  packArguments.write(runtime, values);
  runtime.run(KernelId.PackPanels, panels, runtime.chunk(8 * columns));
}

/** For assembly/matmul/f32_block.ts. */
function gatheredBlocks(
  { threads }: Runtime,
  rows: number,
  panels: number,
  xTransposed: boolean,
): Blocks {
  const wanted = threads === 1 ? 1 : UNITS_PER_THREAD * threads;
  const fewest = Math.ceil(panels / PANELS_AT_ONCE);
  const most = Math.ceil(panels / LEAST_PANELS);
  const largest = xTransposed ? COLUMNS_GATHERED : ROWS_GATHERED;
  const block = stripsOf(Math.min(largest, Math.max(12, (rows * most) / wanted)), rows);
  const blocks = Math.ceil(rows / block);
  const parts = Math.max(fewest, Math.min(most, Math.ceil(wanted / blocks)));
  const atOnce = Math.ceil(panels / parts);
  const units = blocks * Math.ceil(panels / atOnce);
  return { block, atOnce, units, scratch: scratchOf(block, atOnce) };
}

/** Blocks of about `most` rows at most, of similar size, in multiples of six rows. */
function stripsOf(most: number, rows: number): number {
  return Math.ceil(rows / Math.ceil(rows / most) / 6) * 6;
}

/** For assembly/matmul/bf16.ts and f32.ts. */
function panelByPanel(rows: number, panels: number): Blocks {
  const block = balancedBlock(rows, BLOCK);
  const units = panels * Math.ceil(rows / block);
  return { block, atOnce: 0, units, scratch: scratchOf(block, 1) };
}

/** Sums of a block and, for f32 weights, some columns of a panel and of x. */
function scratchOf(block: number, panels: number): number {
  return panels * block * 128 + COLUMN_BLOCK * (128 + block * 4);
}

/** Blocks of at most `most` rows, of similar size, in multiples of 4. */
export function balancedBlock(rows: number, most: number): number {
  const blocks = Math.ceil(rows / most);
  return Math.ceil(rows / blocks / 4) * 4;
}
