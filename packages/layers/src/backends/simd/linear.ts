// y = activation(x w^T + bias) + residual by a packed weight. x is quantised for int8 and int4 weights.
import { KernelId } from '../../../assembly/kernel_ids.js';
import {
  FEW_ROWS_OF_INT8,
  IntMatMulArg,
  MatMulArg,
  MOST_PANELS,
  QuantizeArg,
  QuantizedKind,
} from '../../../assembly/matmul/args.js';
import { type IntFormat, isIntFormat } from '../../weights/packed_weight.js';
import type { Address } from '../native/address.js';
import type { LinearCall } from '../native/calls.js';
import { type Temporaries, withTemporaries } from '../native/memory.js';
import { activationIds } from './activation_ids.js';
import { ArgumentLayout } from './arguments.js';
import { balancedBlock, floatMatMul } from './float_matmul.js';
import { memoryGroup, PANELS_F16, panelBytes, panelRows } from './layout.js';
import { FIRST_STRATEGY } from './read_strategy.js';
import type { Runtime } from './runtime.js';

const quantizeArguments = new ArgumentLayout(QuantizeArg, ['factor']);
const matMulArguments = new ArgumentLayout(MatMulArg);
const intArguments = new ArgumentLayout(IntMatMulArg);

/** Makes up for the exponents of f16 parameters; see parameters4 in assembly/matmul/common.ts. */
const F16_FACTOR = 2 ** 112;
/** Rows of x that a thread takes at a time, so that their quantised values fit in the second-level cache. */
const INT_BLOCK = 96;
/** Bytes between the quantised values of two rows in a group; see assembly/matmul/common.ts. */
const quantizedStrides = { [QuantizedKind.I8]: 64, [QuantizedKind.I16]: 128 };
/** Minimum bytes of weights that a thread reads sequentially. */
const STREAM_BYTES = 24 << 10;

export function linear(runtime: Runtime, call: LinearCall): void {
  const { attrs, bias = 0, residual = 0 } = call;
  const { format, layout, shape } = attrs;
  const [outFeatures = 0, columns = 0] = shape;
  if (isIntFormat(format)) {
    intMatMul(runtime, call, format);
    return;
  }
  floatMatMul(runtime, {
    x: call.x,
    xStride: call.xStride,
    xTransposed: false,
    rows: call.rows,
    format: format === 'f32' ? 'f32' : 'bf16',
    weight: call.weight,
    weightStride: layout === 'rows' ? columns : 0,
    weightTransposed: false,
    outFeatures,
    columns,
    bias,
    residual,
    activation: call.activation ?? 'linear',
    y: call.y,
    yStride: call.yStride,
    chunk: ({ block }) => chunkOf(runtime, call, block),
  });
}

function intMatMul(runtime: Runtime, call: LinearCall, format: IntFormat): void {
  const { attrs, rows, bias = 0, residual = 0, activation = 'linear' } = call;
  const { shape, groupSize, layout } = attrs;
  const [outFeatures = 0, columns = 0] = shape;
  const group = memoryGroup(groupSize);
  const panels = Math.ceil(outFeatures / 8);
  const block = balancedBlock(rows, INT_BLOCK);
  withTemporaries(runtime.temporaries, (temporaries) => {
    const quantized = quantizeRows(runtime, temporaries, call, format);
    matMulArguments.write(runtime, call, {
      x: quantized.values,
      outFeatures,
      columns: Math.ceil(columns / group) * group,
      bias,
      residual,
      activation: activationIds[activation],
      panels,
      block,
      residualStride: outFeatures,
      readStrategy: runtime.readStrategy ?? FIRST_STRATEGY,
    });
    intArguments.write(runtime, {
      xScales: quantized.scales,
      xSums: quantized.sums,
      xKind: quantized.kind,
      xCentres: quantized.centres,
      group,
      f16Parameters: layout === PANELS_F16,
      hasInt8Dot4: runtime.hasInt8Dot4,
    });
    runtime.run(
      format === 'int8' ? KernelId.MatMulInt8 : KernelId.MatMulInt4,
      panels * Math.ceil(rows / block),
      chunkOf(runtime, call, block),
      Math.max(block * 32 + 64 + group * 16, MOST_PANELS * FEW_ROWS_OF_INT8 * 32),
    );
  });
}

/** x quantised, with a scale per group of columns. */
interface QuantizedInput {
  kind: QuantizedKind;
  values: Address;
  scales: Address;
  sums: Address;
  /** 0 where the matmul needs none. */
  centres: Address;
}

function quantizeRows(
  runtime: Runtime,
  temporaries: Temporaries,
  call: LinearCall,
  format: IntFormat,
): QuantizedInput {
  const { shape, groupSize, layout } = call.attrs;
  const [, columns = 0] = shape;
  const group = memoryGroup(groupSize);
  const groups = Math.ceil(columns / group);
  const padded = groups * group;
  // Sums of four products in 32 bits have room for 127 steps each way.
  const isWhole = format === 'int8' && runtime.relaxedSimd && runtime.hasInt8Dot4;
  // Otherwise the integers beside int8 weights are the same in both kinds.
  const kind = format === 'int4' || runtime.relaxedSimd ? QuantizedKind.I8 : QuantizedKind.I16;
  const isCentred = kind === QuantizedKind.I8 && (format === 'int8' || runtime.hasInt8Dot4);
  const quantized = {
    kind,
    values: temporaries.allocate(call.rows * groups * quantizedStrides[kind]),
    scales: temporaries.allocate(call.rows * groups * 4),
    sums: temporaries.allocate(call.rows * groups * 4),
    centres: isCentred ? temporaries.allocate(call.rows * groups * 4) : 0,
  };
  quantizeArguments.write(runtime, call, {
    kind,
    values: quantized.values,
    scales: quantized.scales,
    sums: quantized.sums,
    centres: quantized.centres,
    columns,
    padded,
    group,
    largest: isWhole ? 127 : largestValue(format, group),
    factor: layout === PANELS_F16 ? F16_FACTOR : 1,
    ofFours: format === 'int8' && !isWhole,
    isInt8: format === 'int8',
  });
  runtime.run(KernelId.QuantizeActivations, call.rows, runtime.chunk(padded));
  return quantized;
}

/**
 * Maximum quantised value where relaxed SIMD sums byte products in 16 bits. With int8 weights four are summed,
 * and 124 bounds the sum of the largest four (see largestFour in assembly/matmul/quantize.ts). With int4
 * weights half a group is summed: 32 x 15 x 68.
 */
function largestValue(format: IntFormat, group: number): number {
  if (format === 'int8') return 124;
  return group === 32 ? 127 : 68;
}

/** Minimum number of panels that a thread takes at a time, for sequential reads. */
function chunkOf(runtime: Runtime, call: LinearCall, block: number): number {
  const { format, shape, groupSize } = call.attrs;
  const [, columns = 0] = shape;
  const group = isIntFormat(format) ? memoryGroup(groupSize) : 0;
  const streamed = Math.ceil(STREAM_BYTES / panelBytes(format, columns, group));
  const cost = panelRows(format) * columns * Math.min(block, call.rows);
  return call.rows > 1 ? runtime.chunk(cost) : Math.max(runtime.chunk(cost), streamed);
}
