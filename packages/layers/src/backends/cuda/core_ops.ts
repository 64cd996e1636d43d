// The launches of tfjs's own ops, for ../native/core/: those that models and gradients use most.
import type { Address } from '../native/address.js';
import type { ElementwiseIds } from '../native/core/arithmetic.js';
import type {
  BinaryCall,
  CopyCall,
  CoreOps,
  GatherCall,
  MatMulCall,
} from '../native/core/core_ops.js';
import { sizeOf, stridesOf } from '../native/sizes.js';
import { cublasLtMatmul } from './cublas_lt_matmul.js';
import { overElements, sumMiddle } from './reductions.js';
import { MOST_GRID_Y, type Runtime } from './runtime.js';

/** Maximum number of axes of a kernel; see core_ops.cu. */
const RANK = 6;

export const elementwiseIds: ElementwiseIds = {
  binary: { Add: 0, Sub: 1, Multiply: 2, RealDiv: 3, Maximum: 4, Minimum: 5 },
  unary: {
    ...{ Neg: 0, Exp: 1, Log: 2, Sqrt: 3, Rsqrt: 4, Square: 5, Abs: 6, Sigmoid: 7, Tanh: 8 },
    ...{ Relu: 9, Reciprocal: 10, Softplus: 11, Erf: 12, Log1p: 13, Expm1: 14 },
  },
};

export function cudaCoreOps(runtime: Runtime): CoreOps {
  return {
    copyStrided: (call) => copyStrided(runtime, call),
    fill: (to, size, bits) => launch(runtime, 'fill', size, [to], [size, bits]),
    gather: (call) => gather(runtime, call),
    binary: (call) => binary(runtime, call),
    unary: (op, x, y, size) => launch(runtime, 'unary_elements', size, [x, y], [size, op]),
    matMul: (call) => matMul(runtime, call),
    sumMiddle: (x, y, outer, middle, inner) => sumMiddle(runtime, x, y, outer, middle, inner),
  };
}

/** Copied by the driver if both arrays are contiguous. */
function copyStrided(runtime: Runtime, call: CopyCall): boolean {
  const { shape, from, fromStrides, to, toStrides } = call;
  if (shape.length > RANK) return false;
  const size = sizeOf(shape);
  const dense = stridesOf(shape);
  const isDense = (own: readonly number[]) => shape.every((n, i) => n === 1 || own[i] === dense[i]);
  if (isDense(fromStrides) && isDense(toStrides)) runtime.device.copy(to, from, size * 4);
  else {
    const axes = [...ranked(shape, 1), ...ranked(fromStrides, 0), ...ranked(toStrides, 0)];
    launch(runtime, 'copy_strided', size, [from, to], [size, 0, 0, ...axes]);
  }
  return true;
}

/** An index out of range gives NaN, or 0 for int32. */
function gather(runtime: Runtime, call: GatherCall): boolean {
  const { x, indices, y, outer, length, inner, count, dtype } = call;
  const size = outer * count * inner;
  const missing = dtype === 'float32' ? NAN_BITS : 0;
  launch(runtime, 'gather', size, [x, indices, y], [size, length, count, inner, missing]);
  return true;
}

const NAN_BITS = 0x7fc00000;

function binary(runtime: Runtime, { op, a, aShape, b, bShape, y, shape }: BinaryCall): boolean {
  if (shape.length > RANK) return false;
  const size = sizeOf(shape);
  const axes = [ranked(shape, 1), broadcastStrides(aShape), broadcastStrides(bShape)];
  launch(runtime, 'binary_broadcast', size, [a, b, y], [size, op, ...axes.flat()]);
  return true;
}

/** Strides of a broadcast shape. */
function broadcastStrides(shape: readonly number[]): number[] {
  const strides = stridesOf(shape).map((stride, i) => (shape[i] === 1 ? 0 : stride));
  return ranked(strides, 0);
}

function matMul(runtime: Runtime, call: MatMulCall): boolean {
  const { batch, rows, depth, features, a, aStep, b, bStep, bias, y } = call;
  if (batch > MOST_GRID_Y) return false;
  const [xPitch, wPitch] = [call.transposeA ? rows : depth, call.transposeB ? depth : features];
  const yStep = rows * features;
  const gemm = {
    ...{ format: 'f32' as const, rows, features, depth, x: a, w: b, y },
    ...{ xPitch, wPitch, yPitch: features },
    ...{ xTransposed: call.transposeA, wTransposed: !call.transposeB },
    ...(batch > 1 && { batch: { count: batch, x: aStep, w: bStep, y: yStep } }),
  };
  if (bias === 0 && cublasLtMatmul(runtime, gemm)) return true;
  const tile = 64;
  runtime.launch(
    'matmul_f32',
    { grid: [Math.ceil(features / tile), Math.ceil(rows / tile), batch], block: 256 },
    [a, b, y, bias, 0],
    [
      ...[aStep, ...(call.transposeA ? [1, xPitch] : [xPitch, 1])],
      ...[bStep, ...(call.transposeB ? [wPitch, 1] : [1, wPitch])],
      ...[yStep, features, rows, features, depth, 0],
    ],
  );
  return true;
}

/** A launch with one thread per element, or per few. */
function launch(
  runtime: Runtime,
  kernel: string,
  size: number,
  pointers: readonly Address[],
  integers: readonly number[],
): void {
  runtime.launch(kernel, overElements(runtime, size), pointers, integers);
}

/** Pads to RANK values on the left. */
function ranked(values: readonly number[], filler: number): number[] {
  return [...Array<number>(RANK - values.length).fill(filler), ...values];
}
