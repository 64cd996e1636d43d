// y = activation(x w^T + bias) + residual on addresses: what every kernel with a matrix in it calls.
import type { Activation } from '../../kernel_names.js';
import { isIntFormat, type WeightFormat } from '../../weights/packed_weight.js';
import type { LinearCall } from '../native/calls.js';
import { type Temporaries, withTemporaries } from '../native/memory.js';
import {
  balancedBlock,
  floatBlocks,
  packPanels,
  panelByPanel,
  ROWS_WORTH_GATHERING,
  ROWS_WORTH_PACKING,
} from './float_blocks.js';
import { ActivationId, CodeKind, FEW_ROWS_OF_INT8, KernelId, MOST_PANELS } from './kernel_ids.js';
import { bitsOf, memoryGroup, PANELS_F16, panelBytes, panelRows } from './layout.js';
import { FIRST_READING } from './reading.js';
import type { Runtime } from './runtime.js';

/** x as integers, for the products by one or more weights that share its columns and format. */
interface Codes {
  kind: CodeKind;
  values: number;
  scales: number;
  sums: number;
  /** 0 where the products need none. */
  centres: number;
}

export const activationIds: Record<Activation, ActivationId> = {
  linear: ActivationId.Linear,
  silu: ActivationId.Silu,
  gelu: ActivationId.Gelu,
};

/** Makes up for the exponents of f16 parameters; see parameters4 in assembly/matmul.ts. */
const F16_FACTOR = 2 ** 112;

export function linear(runtime: Runtime, call: LinearCall): void {
  withTemporaries(runtime.temporaries, (temporaries) => {
    if (isIntFormat(call.attrs.format)) {
      intProduct(runtime, call, quantizeRows(runtime, temporaries, call));
    } else {
      floatProduct(runtime, temporaries, call);
    }
  });
}

/** Rows of x that a thread takes on at a time: their codes should stay in the second-level cache. */
const INT_BLOCK = 96;
/** Bytes from a row's codes of a group to the next row's; see assembly/matmul.ts. */
const codeStrides: Record<CodeKind, number> = { [CodeKind.I8]: 64, [CodeKind.I16]: 128 };
/** Bytes of weights that a thread should at least read on end. */
const STREAM_BYTES = 24 << 10;

function quantizeRows(runtime: Runtime, temporaries: Temporaries, call: LinearCall): Codes {
  const { format, shape, groupSize, layout } = call.attrs;
  const [, columns = 0] = shape;
  const group = memoryGroup(groupSize);
  const groups = Math.ceil(columns / group);
  const kind = codeKind(runtime, format);
  const padded = groups * group;
  const isCentred = kind === CodeKind.I8 && (format === 'int8' || runtime.wholeDots);
  const codes = {
    kind,
    values: temporaries.allocate(call.rows * groups * codeStrides[kind]),
    scales: temporaries.allocate(call.rows * groups * 4),
    sums: temporaries.allocate(call.rows * groups * 4),
    centres: isCentred ? temporaries.allocate(call.rows * groups * 4) : 0,
  };
  const { args, numbers } = runtime;
  args[0] = call.x;
  args[1] = call.xStride;
  args[2] = call.rows;
  args[3] = columns;
  args[4] = padded;
  args[5] = group;
  args[6] = codes.values;
  args[7] = codes.scales;
  args[8] = codes.sums;
  args[9] = largestCode(format, group);
  numbers[10] = layout === PANELS_F16 ? F16_FACTOR : 1;
  args[11] = kind;
  args[12] = codes.centres;
  args[13] = format === 'int8' ? 1 : 0;
  runtime.run(KernelId.QuantizeActivations, call.rows, runtime.chunk(padded));
  return codes;
}

/**
 * What fits in the 16 bits that relaxed SIMD sums products of bytes in. Of 8-bit weights four are summed, and 124 is for
 * the largest sum of four (see largestFour in assembly/quantize.ts). Of 4-bit weights half a group is: 32 x 15 x 68.
 */
function largestCode(format: WeightFormat, group: number): number {
  if (format === 'int8') return 124;
  return group === 32 ? 127 : 68;
}

/** For int8 the numbers are the same in both kinds. */
function codeKind({ relaxedSimd }: Runtime, format: WeightFormat): CodeKind {
  return format === 'int4' || relaxedSimd ? CodeKind.I8 : CodeKind.I16;
}

function intProduct(runtime: Runtime, call: LinearCall, codes: Codes): void {
  const { format, shape, groupSize, layout } = call.attrs;
  if (!isIntFormat(format)) return;
  const [outFeatures = 0, columns = 0] = shape;
  const group = memoryGroup(groupSize);
  const panels = Math.ceil(outFeatures / 8);
  const padded = Math.ceil(columns / group) * group;
  const block = balancedBlock(call.rows, INT_BLOCK);
  const { args } = runtime;
  setCommon(runtime, call, panels, block);
  args[1] = codes.values;
  args[5] = padded;
  args[9] = codes.scales;
  args[10] = codes.sums;
  args[11] = group;
  args[17] = layout === PANELS_F16 ? 1 : 0;
  args[18] = codes.kind;
  args[19] = codes.centres;
  args[23] = runtime.wholeDots ? 1 : 0;
  const units = panels * Math.ceil(call.rows / block);
  runtime.run(
    bitsOf(format) === 8 ? KernelId.MatMulInt8 : KernelId.MatMulInt4,
    units,
    chunkOf(runtime, call, block),
    Math.max(block * 32 + 64 + group * 16, MOST_PANELS * FEW_ROWS_OF_INT8 * 32),
  );
}

function floatProduct(runtime: Runtime, temporaries: Temporaries, call: LinearCall): void {
  const { format, shape, layout } = call.attrs;
  const [outFeatures = 0, columns = 0] = shape;
  const panels = Math.ceil(outFeatures / 32);
  const isPlain = layout === 'rows';
  const isPacked = isPlain && call.rows >= ROWS_WORTH_PACKING;
  const plain = { matrix: call.weight, transposed: false, outFeatures, columns };
  const weight = isPacked ? packPanels(runtime, temporaries, plain) : call.weight;
  const cut =
    format === 'f32' && call.rows >= ROWS_WORTH_GATHERING
      ? floatBlocks(runtime, call.rows, panels, false)
      : panelByPanel(call.rows, panels);
  const { args } = runtime;
  setCommon(runtime, call, panels, cut.block);
  args[0] = weight;
  args[1] = call.x;
  args[5] = columns;
  args[16] = call.xStride;
  args[18] = isPlain && !isPacked ? columns : 0;
  args[19] = 0;
  args[20] = 0;
  args[21] = cut.atOnce;
  runtime.run(
    format === 'bf16' ? KernelId.MatMulBf16 : KernelId.MatMulF32,
    cut.units,
    chunkOf(runtime, call, cut.block),
    cut.scratch,
  );
}

function setCommon(
  { args, reading = FIRST_READING }: Runtime,
  call: LinearCall,
  panels: number,
  block: number,
): void {
  args[0] = call.weight;
  args[2] = call.y;
  args[3] = call.rows;
  args[4] = call.attrs.shape[0] ?? 0;
  args[6] = call.bias ?? 0;
  args[7] = call.residual ?? 0;
  args[8] = activationIds[call.activation ?? 'linear'];
  args[12] = panels;
  args[13] = block;
  args[14] = call.yStride;
  args[15] = call.attrs.shape[0] ?? 0;
  args[22] = reading;
}

/** The least panels that a thread takes at a time: enough to stream. */
function chunkOf(runtime: Runtime, call: LinearCall, block: number): number {
  const { format, shape, groupSize } = call.attrs;
  const [, columns = 0] = shape;
  const group = isIntFormat(format) ? memoryGroup(groupSize) : 0;
  const streamed = Math.ceil(STREAM_BYTES / panelBytes(format, columns, group));
  const cost = panelRows(format) * columns * Math.min(block, call.rows);
  return call.rows > 1 ? runtime.chunk(cost) : Math.max(runtime.chunk(cost), streamed);
}
