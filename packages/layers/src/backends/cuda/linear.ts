// y = activation(x w^T + bias) + residual on addresses, used by every kernel with a matmul.
import { BackendError } from '../../errors.js';
import type { Activation } from '../../kernels.js';
import { isIntFormat } from '../../weights/packed_weight.js';
import { type NumberFormat, numberBytes } from '../native/activations.js';
import type { InputNorm, LinearCall } from '../native/calls.js';
import { type Temporaries, withTemporaries } from '../native/memory.js';
import { fitsVector, SPLIT_ROWS } from './activations.js';
import { cublasLtMatmul } from './cublas_lt_matmul.js';
import type { Gemm } from './gemm.js';
import { formatIds, layoutOf, PACKED_F16 } from './layout.js';
import { norm as normRows } from './rms_norm.js';
import { MOST_GRID_Y, type Runtime } from './runtime.js';

export const activationIds: Record<Activation, number> = {
  linear: 0,
  silu: 1,
  gelu: 2,
  relu2: 3,
};

/** Warps per block, and columns that a warp reads at a time. */
const WARPS = 8;
const chunkColumns = { f32: 4, bf16: 8, f16: 8, int8: 16, int4: 32 };
const featureRuns = { f32: 2, bf16: 2, f16: 2, int8: 4, int4: 4 };
/** Maximum bytes of staged rows of x, so that two blocks fit a multiprocessor. */
const MOST_STAGED_BYTES = 96 << 10;
const MMA_DEPTH = 32;
const MMA_PITCH_BYTES = 80;
const MMA_STAGES = 4;

export function linear(runtime: Runtime, call: LinearCall): void {
  if (fitsVector(call)) vectorMatmul(runtime, call);
  else if (call.attrs.format === 'f32') f32Matmul(runtime, call);
  else tensorCoreMatmul(runtime, call);
}

/** A Prologue of packed_matvec.cu. */
function prologueOf(norm: InputNorm | undefined): number {
  if (!norm) return 0;
  if (!norm.z) return 1;
  return norm.normBeforeGate && norm.weight ? 3 : 2;
}

function vectorMatmul(runtime: Runtime, call: LinearCall): void {
  const { attrs, norm, conv } = call;
  const { format, shape, layout } = attrs;
  checkExact(call);
  const [features = 0, columns = 0] = shape;
  const { pitch, group, groups, paramsAt } = layoutOf(attrs);
  const chunk = chunkColumns[format];
  const padded = Math.ceil(columns / chunk) * chunk;
  const rowBytes = (padded + (chunk > 4 ? (4 * padded) / chunk : 0)) * 4;
  const most = call.rows > 2 ? 4 : call.rows;
  const together = most * rowBytes <= MOST_STAGED_BYTES ? most : 1;
  const run = featureRuns[format];
  const slices = slicesOf(runtime, features / run, columns / (32 * chunk));
  const perBlock = (WARPS / slices) * run;
  const params = isIntFormat(format) ? call.weight + paramsAt : 0;
  const grid = [Math.ceil(features / perBlock), Math.ceil(call.rows / together)] as const;
  runtime.launch(
    `matvec_${format}_${together}`,
    { grid, block: WARPS * 32, sharedBytes: together * rowBytes },
    [
      ...[call.x, call.weight, params, call.bias ?? 0, call.residual ?? 0, call.y],
      ...[norm?.weight ?? 0, norm?.z ?? 0],
      ...[conv?.weight ?? 0, conv?.bias ?? 0, conv?.before ?? 0, conv?.after ?? 0],
    ],
    [
      ...[call.rows, features, columns, pitch, group, groups, layout === PACKED_F16 ? 1 : 0],
      ...[call.xStride, call.yStride, activationIds[call.activation ?? 'linear'], slices],
      ...[prologueOf(norm), norm?.groupSize ?? columns, norm?.zStride ?? 0],
      ...[conv?.first ?? 0, conv?.channels ?? 0, conv?.width ?? 0],
    ],
    [norm?.eps ?? 0],
  );
}

/** @throws BackendError if x or y is not f32 */
function checkExact({ xFormat = 'f32', yFormat = 'f32', f32Tail }: LinearCall): void {
  if (xFormat === 'f32' && yFormat === 'f32' && !f32Tail) return;
  throw new BackendError(
    'cuda: matmuls of few rows and with f32 weights have f32 inputs and outputs only',
  );
}

/** Arguments of store_output() in epilogue.h: y_format, f32_tail_first, f32_tail_stride. */
function outputOf({ attrs, yFormat = 'f32', f32Tail }: LinearCall): readonly number[] {
  const [features = 0] = attrs.shape;
  return [formatIds[yFormat], f32Tail?.first ?? features, f32Tail?.yStride ?? 0];
}

/** Warps per feature: enough for two blocks per multiprocessor, if there are enough columns. */
function slicesOf(runtime: Runtime, warps: number, steps: number): number {
  let slices = 1;
  const wanted = 2 * runtime.device.multiprocessors * WARPS;
  while (slices < WARPS && warps * slices < wanted && steps >= 2 * slices) slices *= 2;
  return slices;
}

function f32Matmul(runtime: Runtime, call: LinearCall): void {
  const { norm } = call;
  const [features = 0, columns = 0] = call.attrs.shape;
  checkExact(call);
  const row = layoutOf(call.attrs).pitch / 4;
  const grid = [Math.ceil(features / 64), Math.ceil(call.rows / 64)] as const;
  withTemporaries(runtime.pool, (temporaries) => {
    let { x, xStride } = call;
    if (norm) {
      x = temporaries.allocate(call.rows * columns * 4);
      xStride = columns;
      normInput(runtime, call, norm, x, columns, 'f32');
    }
    const input = { format: 'f32' as const, depth: columns, x, xPitch: xStride, wPitch: row };
    if (linearByCublasLt(runtime, call, input)) return;
    runtime.launch(
      'matmul_f32',
      { grid, block: 256 },
      [x, call.weight, call.y, call.bias ?? 0, call.residual ?? 0],
      [
        ...[0, xStride, 1, 0, row, 1, 0, call.yStride],
        ...[call.rows, features, columns, activationIds[call.activation ?? 'linear']],
      ],
    );
  });
}

function normInput(
  runtime: Runtime,
  call: LinearCall,
  norm: InputNorm,
  y: number,
  yStride: number,
  yFormat: NumberFormat,
): void {
  const { x, xStride, rows, xFormat = 'f32' } = call;
  const [, columns = 0] = call.attrs.shape;
  normRows(runtime, { ...norm, x, xStride, xFormat, y, yStride, yFormat, rows, columns });
}

/**
 * x in 16 bits, padded with zeros to `depth` columns, as the tensor-core kernels read it.
 *
 * @param isDoubled whether as many rows follow with what rounding has left
 */
function tensorCoreInput(
  runtime: Runtime,
  call: LinearCall,
  format: 'bf16' | 'f16',
  depth: number,
  isDoubled: boolean,
  temporaries: Temporaries,
): { x: number; xPitch: number } {
  const { rows, norm, xFormat = 'f32' } = call;
  const [, columns = 0] = call.attrs.shape;
  const isFull = columns === depth;
  const isAligned = call.x % 16 === 0 && call.xStride % 8 === 0;
  if (!norm && xFormat === format && isFull && isAligned) {
    return { x: call.x, xPitch: call.xStride };
  }
  const x = temporaries.allocate(rows * depth * (isDoubled ? 4 : 2));
  if (norm && isFull && !isDoubled) {
    normInput(runtime, call, norm, x, depth, format);
    return { x, xPitch: depth };
  }
  let from: Pick<LinearCall, 'x' | 'xStride' | 'xFormat'> = call;
  if (norm) {
    from = { x: temporaries.allocate(rows * columns * 4), xStride: columns };
    normInput(runtime, call, norm, from.x, columns, 'f32');
  }
  runtime.launch(
    'narrow_rows',
    { grid: [rows], block: 256 },
    [from.x, x, isDoubled ? x + rows * depth * 2 : 0],
    [from.xStride, columns, depth, formatIds[from.xFormat ?? 'f32'], formatIds[format]],
  );
  return { x, xPitch: depth };
}

function tensorCoreMatmul(runtime: Runtime, call: LinearCall): void {
  const { format, shape, layout } = call.attrs;
  const [features = 0, columns = 0] = shape;
  const isDoubled =
    call.rows <= SPLIT_ROWS && format !== 'f16' && (call.xFormat ?? 'f32') === 'f32';
  const rows = isDoubled ? 2 * call.rows : call.rows;
  const depth = Math.ceil(columns / MMA_DEPTH) * MMA_DEPTH;
  const small = rows <= 64;
  const tile = small ? 64 : 128;
  const tiles = Math.ceil(features / tile) * Math.ceil(rows / tile);
  const splits = splitsOf(runtime, tiles, depth / MMA_DEPTH);
  // Matrices of call.rows rows that sum_splits adds: the second rows lie like splits of the depth.
  const addends = isDoubled ? 2 * splits : splits;
  withTemporaries(runtime.pool, (temporaries) => {
    const xFormat = format === 'f16' ? format : 'bf16';
    const { x, xPitch } = tensorCoreInput(runtime, call, xFormat, depth, isDoubled, temporaries);
    const { pitch, group, groups, paramsAt } = layoutOf(call.attrs);
    if (!isDoubled && !isIntFormat(format)) {
      const input = { format, depth, x, xPitch, wPitch: pitch / 2 };
      if (linearByCublasLt(runtime, call, input)) return;
    }
    const partial = addends > 1 ? temporaries.allocate(addends * call.rows * features * 4) : 0;
    const targets = [call.y, call.bias ?? 0, call.residual ?? 0, partial, call.f32Tail?.y ?? 0];
    const output = [activationIds[call.activation ?? 'linear'], ...outputOf(call)];
    // Without splits the kernel writes outputs. Of doubled rows they are plain sums, for sum_splits.
    const isPlain = isDoubled && splits === 1;
    const own = isPlain ? [partial, 0, 0, 0, 0] : targets;
    const ownOutput = isPlain ? [activationIds.linear, formatIds.f32, features, 0] : output;
    const last = [isPlain ? features : call.yStride, depth, splits, ...ownOutput];
    const grid = [Math.ceil(features / tile), Math.ceil(rows / tile), splits] as const;
    const name = `matmul_${format}${small ? '_small' : ''}`;
    const block = small ? 128 : 256;
    if (isIntFormat(format)) {
      const weightBytes = MMA_DEPTH / (format === 'int8' ? 1 : 2);
      const sharedBytes = MMA_STAGES * tile * (MMA_DEPTH * 2 + weightBytes);
      runtime.launch(
        name,
        { grid, block, sharedBytes },
        [x, call.weight, call.weight + paramsAt, ...own],
        [
          ...[rows, features, xPitch, pitch, group, groups],
          ...[layout === PACKED_F16 ? 1 : 0, ...last],
        ],
      );
    } else {
      const sharedBytes = MMA_STAGES * 2 * tile * MMA_PITCH_BYTES;
      const sizes = [rows, features, xPitch, pitch / 2, ...last];
      runtime.launch(name, { grid, block, sharedBytes }, [x, call.weight, ...own], sizes);
    }
    if (addends === 1) return;
    runtime.launch(
      'sum_splits',
      { grid: [Math.ceil(features / 256), Math.min(call.rows, MOST_GRID_Y)], block: 256 },
      [x, call.weight, ...targets],
      [call.rows, features, xPitch, pitch / 2, call.yStride, depth, addends, ...output],
    );
  });
}

/** Runs linear() on cuBLASLt, with an input in the weight's format. False if it cannot; see cublasLtMatmul. */
function linearByCublasLt(
  runtime: Runtime,
  call: LinearCall,
  input: Pick<Gemm, 'depth' | 'x' | 'xPitch' | 'wPitch'> & { format: NumberFormat },
): boolean {
  if (!runtime.device.hasCublasLt) return false;
  const [features = 0] = call.attrs.shape;
  const { f32Tail } = call;
  if (!f32Tail) return partByCublasLt(runtime, call, input, 0, features);
  // cuBLASLt writes all features of a matmul to one matrix.
  const { first, y, yStride } = f32Tail;
  return (
    partByCublasLt(runtime, call, input, 0, first) &&
    partByCublasLt(runtime, { ...call, y, yStride, yFormat: 'f32' }, input, first, features - first)
  );
}

/**
 * Features `first` and following. Our kernel applies bias and activation: cuBLASLt has another GELU and
 * no SiLU.
 */
function partByCublasLt(
  runtime: Runtime,
  call: LinearCall,
  input: Pick<Gemm, 'depth' | 'x' | 'xPitch' | 'wPitch'> & { format: NumberFormat },
  first: number,
  features: number,
): boolean {
  const { rows, residual = 0, activation = 'linear', yFormat = 'f32' } = call;
  const w = call.weight + first * input.wPitch * numberBytes[input.format];
  const bias = call.bias ? call.bias + first * 4 : 0;
  const gemm = { ...input, rows, features, w };
  if (bias === 0 && activation === 'linear') {
    return cublasLtMatmul(runtime, {
      ...gemm,
      ...{ y: call.y, yPitch: call.yStride, yFormat, residual },
    });
  }
  // Sums stay f32 until bias and activation are applied, so that y is rounded once.
  return withTemporaries(runtime.pool, (temporaries) => {
    const sums = temporaries.allocate(rows * features * 4);
    const isDone = cublasLtMatmul(runtime, { ...gemm, y: sums, yPitch: features });
    if (!isDone) return false;
    runtime.launch(
      'sum_splits',
      { grid: [Math.ceil(features / 256), Math.min(rows, MOST_GRID_Y)], block: 256 },
      [0, 0, call.y, bias, residual, sums, 0],
      [
        ...[rows, features, 0, 0, call.yStride, 0, 1, activationIds[activation]],
        ...[formatIds[yFormat], features, 0],
      ],
    );
    return true;
  });
}

/** Splits of the depth, if the tiles alone would leave multiprocessors idle. No split is empty. */
function splitsOf(runtime: Runtime, tiles: number, steps: number): number {
  const wanted = Math.min(
    8,
    Math.floor((2 * runtime.device.multiprocessors) / tiles),
    Math.floor(steps / 8),
  );
  if (wanted <= 1) return 1;
  return Math.ceil(steps / Math.ceil(steps / wanted));
}
