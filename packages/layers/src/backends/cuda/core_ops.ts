// tfjs's own ops on the device: those that stand between our kernels, and what gradients need most.
// A call that these do not take (another dtype, more than six axes) goes through the host.
import * as tf from '@tensorflow/tfjs-core';
import type { CudaBackend } from './backend.js';
import { cublasLtMatmul } from './cublas_lt_matmul.js';
import { overElements, sumMiddle } from './reductions.js';

/** @returns undefined for a call that must go through the host */
export type CoreRun = (
  inputs: Record<string, tf.TensorInfo | undefined>,
  attrs: Record<string, unknown>,
  backend: CudaBackend,
) => tf.TensorInfo | tf.TensorInfo[] | undefined;

/** Axes that a kernel takes; see core_ops.cu. */
const RANK = 6;
const binaryIds = { Add: 0, Sub: 1, Multiply: 2, RealDiv: 3, Maximum: 4, Minimum: 5 };
const unaryIds = {
  ...{ Neg: 0, Exp: 1, Log: 2, Sqrt: 3, Rsqrt: 4, Square: 5, Abs: 6, Sigmoid: 7, Tanh: 8, Relu: 9 },
  ...{ Reciprocal: 10, Softplus: 11, Erf: 12, Log1p: 13, Expm1: 14 },
};

export const coreOps: Readonly<Record<string, CoreRun>> = {
  Slice: ({ x }, { begin, size }, backend) => {
    if (!fits(x)) return undefined;
    const [from = [], sizes = []] = tf.slice_util.parseSliceParams(
      x,
      numbers(begin),
      numbers(size),
    );
    return slice(backend, x, from, sizes);
  },
  SplitV: ({ x }, { numOrSizeSplits, axis }, backend) => {
    if (!fits(x)) return undefined;
    const at = tf.util.parseAxisParam(numbers(axis), x.shape)[0] ?? 0;
    const wanted = Array.isArray(numOrSizeSplits)
      ? numbers(numOrSizeSplits)
      : Number(numOrSizeSplits);
    let start = 0;
    return tf.backend_util.prepareSplitSize(x, wanted, at).map((length) => {
      const begin = x.shape.map((_, i) => (i === at ? start : 0));
      start += length;
      return slice(
        backend,
        x,
        begin,
        x.shape.map((n, i) => (i === at ? length : n)),
      );
    });
  },
  Concat: (inputs, { axis }, backend) => {
    const given = Object.values(inputs).flatMap((x) => x ?? []);
    const [first] = given;
    if (!first || !given.every(fits) || given.some(({ dtype }) => dtype !== first.dtype))
      return undefined;
    const at = tf.util.parseAxisParam(numbers(axis), first.shape)[0] ?? 0;
    const shape = tf.backend_util.computeOutShape(
      given.map((x) => x.shape),
      at,
    );
    const y = empty(backend, shape, first);
    const strides = stridesOf(shape);
    let offset = 0;
    for (const x of given) {
      copyInto(backend, x, y.address, { strides, offset });
      offset += (x.shape[at] ?? 0) * (strides[at] ?? 0);
    }
    return y.info;
  },
  PadV2: ({ x }, { paddings, constantValue }, backend) => {
    if (!fits(x) || !isPairs(paddings)) return undefined;
    const shape = x.shape.map((n, i) => n + (paddings[i]?.[0] ?? 0) + (paddings[i]?.[1] ?? 0));
    const y = empty(backend, shape, x);
    const bits = new DataView(new ArrayBuffer(4));
    if (x.dtype === 'float32') bits.setFloat32(0, Number(constantValue));
    else bits.setInt32(0, Number(constantValue));
    launch(backend, 'fill', sizeOf(shape), [y.address], [sizeOf(shape), bits.getInt32(0)]);
    const strides = stridesOf(shape);
    const offset = strides.reduce((sum, stride, i) => sum + stride * (paddings[i]?.[0] ?? 0), 0);
    copyInto(backend, x, y.address, { strides, offset });
    return y.info;
  },
  Transpose: ({ x }, { perm }, backend) => {
    if (!fits(x)) return undefined;
    const order = numbers(perm);
    const strides = stridesOf(x.shape);
    const shape = order.map((axis) => x.shape[axis] ?? 1);
    const y = empty(backend, shape, x);
    copy(backend, backend.address(x), y.address, shape, {
      x: order.map((axis) => strides[axis] ?? 0),
      y: stridesOf(shape),
    });
    return y.info;
  },
  GatherV2: gather,
  OnesLike: ({ x }, _, backend) => filled(backend, x, 1),
  ZerosLike: ({ x }, _, backend) => filled(backend, x, 0),
  // tfjs's own hands on the same memory under another dtype, which only JavaScript's numbers bear.
  Cast: ({ x }, { dtype }, backend) => {
    if (!x || x.dtype === dtype || (x.dtype !== 'int32' && x.dtype !== 'bool')) return undefined;
    if (dtype !== 'float32' && dtype !== 'int32') return undefined;
    const values = numeric(backend.readSync(x.dataId));
    const typed = dtype === 'float32' ? Float32Array.from(values) : Int32Array.from(values);
    return backend.makeTensorInfo(x.shape, dtype, typed);
  },
  AddN: (inputs, _, backend) => {
    const given = Object.values(inputs).flatMap((x) => x ?? []);
    const [first] = given;
    if (!first || given.length < 2 || !given.every(isFloat)) return undefined;
    return given.slice(1).reduce<tf.TensorInfo>((sum, x, i) => {
      const next = binary(backend, binaryIds.Add, sum, x);
      if (i > 0) backend.disposeData(sum.dataId);
      return next;
    }, first);
  },
  BatchMatMul: matMul,
  Sum: sum,
  ...each(
    binaryIds,
    (op): CoreRun =>
      ({ a, b }, _, backend) => {
        if (!isFloat(a) || !isFloat(b) || a.shape.length > RANK || b.shape.length > RANK)
          return undefined;
        return binary(backend, op, a, b);
      },
  ),
  ...each(
    unaryIds,
    (op): CoreRun =>
      ({ x }, _, backend) => {
        if (!isFloat(x)) return undefined;
        const y = empty(backend, x.shape, x);
        const size = sizeOf(x.shape);
        launch(backend, 'unary_elements', size, [backend.address(x), y.address], [size, op]);
        return y.info;
      },
  ),
};

/** Along one axis, by one list of indices. Where one is out of range NaN stands, or 0 of int32. */
function gather(
  { x, indices }: Record<string, tf.TensorInfo | undefined>,
  { axis, batchDims }: Record<string, unknown>,
  backend: CudaBackend,
): tf.TensorInfo | undefined {
  if (!fits(x) || !indices || indices.dtype !== 'int32' || Number(batchDims ?? 0) !== 0)
    return undefined;
  const at = tf.util.parseAxisParam(numbers(axis), x.shape)[0] ?? 0;
  const shape = [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)];
  const size = sizeOf(shape);
  if (sizeOf(x.shape) === 0 || size === 0) return undefined;
  const inner = sizeOf(x.shape.slice(at + 1));
  const y = empty(backend, shape, x);
  launch(
    backend,
    'gather',
    size,
    [backend.address(x), backend.address(indices), y.address],
    [size, x.shape[at] ?? 0, sizeOf(indices.shape), inner, x.dtype === 'float32' ? NAN_BITS : 0],
  );
  return y.info;
}

const NAN_BITS = 0x7fc00000;

/** A float32 tensor of x's shape, of one number. */
function filled(
  backend: CudaBackend,
  x: tf.TensorInfo | undefined,
  value: 0 | 1,
): tf.TensorInfo | undefined {
  if (!isFloat(x)) return undefined;
  const size = sizeOf(x.shape);
  const y = empty(backend, x.shape, x);
  if (size > 0) launch(backend, 'fill', size, [y.address], [size, value === 1 ? ONE_BITS : 0]);
  return y.info;
}

const ONE_BITS = 0x3f800000;

function matMul(
  { a, b }: Record<string, tf.TensorInfo | undefined>,
  { transposeA, transposeB }: Record<string, unknown>,
  backend: CudaBackend,
): tf.TensorInfo | undefined {
  if (!isFloat(a) || !isFloat(b)) return undefined;
  const [batchA, batchB] = [a, b].map(({ shape }) => sizeOf(shape.slice(0, -2)));
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(
    a.shape.slice(0, -2),
    b.shape.slice(0, -2),
  );
  const batches = sizeOf(batch);
  if (batches > MOST_BATCHES || [batchA, batchB].some((n) => n !== 1 && n !== batches))
    return undefined;
  const [aRows = 0, aColumns = 0] = a.shape.slice(-2);
  const [bRows = 0, bColumns = 0] = b.shape.slice(-2);
  const [rows, depth] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const features = transposeB ? bRows : bColumns;
  const y = empty(backend, [...batch, rows, features], a);
  const [x, w] = [backend.address(a), backend.address(b)];
  const steps = {
    x: batchA === 1 ? 0 : aRows * aColumns,
    w: batchB === 1 ? 0 : bRows * bColumns,
    y: rows * features,
  };
  const gemm = {
    ...{ format: 'f32' as const, rows, features, depth, x, w, y: y.address },
    ...{ xPitch: aColumns, wPitch: bColumns, yPitch: features },
    ...{ xTransposed: transposeA === true, wTransposed: transposeB !== true },
    ...(batches > 1 && { batch: { count: batches, ...steps } }),
  };
  if (cublasLtMatmul(backend.runtime, gemm)) return y.info;
  const tile = 64;
  backend.runtime.launch(
    'matmul_f32',
    { grid: [Math.ceil(features / tile), Math.ceil(rows / tile), batches], block: 256 },
    [x, w, y.address, 0, 0],
    [
      ...[steps.x, ...(transposeA ? [1, aColumns] : [aColumns, 1])],
      ...[steps.w, ...(transposeB ? [bColumns, 1] : [1, bColumns])],
      ...[steps.y, features, rows, features, depth, 0],
    ],
  );
  return y.info;
}

/** A grid's third axis. */
const MOST_BATCHES = 65535;

/** Over axes that stand beside each other, once those of length 1 are set aside. */
function sum(
  { x }: Record<string, tf.TensorInfo | undefined>,
  { axis, keepDims }: Record<string, unknown>,
  backend: CudaBackend,
): tf.TensorInfo | undefined {
  if (!isFloat(x) || sizeOf(x.shape) === 0) return undefined;
  const all = x.shape.map((_, i) => i);
  const axes = new Set(tf.util.parseAxisParam(axis == null ? all : numbers(axis), x.shape));
  const long = [...axes].filter((i) => (x.shape[i] ?? 1) > 1).sort((a, b) => a - b);
  const first = long[0] ?? 0;
  const last = long.at(-1) ?? -1;
  const between = x.shape.slice(first, last + 1);
  if (between.some((n, i) => n > 1 && !axes.has(first + i))) return undefined;
  const outer = sizeOf(x.shape.slice(0, first));
  const inner = sizeOf(x.shape.slice(last + 1));
  const shape = keepDims
    ? x.shape.map((n, i) => (axes.has(i) ? 1 : n))
    : x.shape.filter((_, i) => !axes.has(i));
  const y = empty(backend, shape, x);
  sumMiddle(backend.runtime, backend.address(x), y.address, outer, sizeOf(between), inner);
  return y.info;
}

function binary(
  backend: CudaBackend,
  op: number,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
): tf.TensorInfo {
  const shape = tf.broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
  const y = empty(backend, shape, a);
  const size = sizeOf(shape);
  launch(
    backend,
    'binary_broadcast',
    size,
    [backend.address(a), backend.address(b), y.address],
    [size, op, ...ranked(shape, 1), ...repeated(a.shape, shape), ...repeated(b.shape, shape)],
  );
  return y.info;
}

/** Strides of a shape within the one that it is broadcast to. */
function repeated(shape: readonly number[], to: readonly number[]): number[] {
  const strides = stridesOf(shape).map((stride, i) => (shape[i] === 1 ? 0 : stride));
  return ranked([...Array<number>(to.length - shape.length).fill(0), ...strides], 0);
}

function slice(
  backend: CudaBackend,
  x: tf.TensorInfo,
  begin: readonly number[],
  size: readonly number[],
): tf.TensorInfo {
  const strides = stridesOf(x.shape);
  const offset = strides.reduce((sum, stride, i) => sum + stride * (begin[i] ?? 0), 0);
  const y = empty(backend, size, x);
  const from = backend.address(x) + offset * 4;
  copy(backend, from, y.address, size, { x: strides, y: stridesOf(size) });
  return y.info;
}

function copyInto(
  backend: CudaBackend,
  x: tf.TensorInfo,
  to: number,
  { strides, offset }: { strides: readonly number[]; offset: number },
): void {
  const from = backend.address(x);
  copy(backend, from, to + offset * 4, x.shape, { x: stridesOf(x.shape), y: strides });
}

/** Copies what has these strides; by the driver where it is all of a piece. */
function copy(
  backend: CudaBackend,
  from: number,
  to: number,
  shape: readonly number[],
  strides: { x: readonly number[]; y: readonly number[] },
): void {
  const size = sizeOf(shape);
  if (size === 0) return;
  const dense = stridesOf(shape);
  const isDense = (own: readonly number[]) => shape.every((n, i) => n === 1 || own[i] === dense[i]);
  if (isDense(strides.x) && isDense(strides.y)) {
    backend.runtime.device.copy(to, from, size * 4);
    return;
  }
  launch(
    backend,
    'copy_strided',
    size,
    [from, to],
    [size, 0, 0, ...ranked(shape, 1), ...ranked(strides.x, 0), ...ranked(strides.y, 0)],
  );
}

/** A launch with a thread an element, or a few. */
function launch(
  backend: CudaBackend,
  kernel: string,
  size: number,
  pointers: readonly number[],
  integers: readonly number[],
): void {
  backend.runtime.launch(kernel, overElements(backend.runtime, size), pointers, integers);
}

/** Six numbers: as many as are missing before them. */
function ranked(values: readonly number[], filler: number): number[] {
  return [...Array<number>(RANK - values.length).fill(filler), ...values];
}

function stridesOf(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i] ?? 1;
  }
  return strides;
}

function empty(
  backend: CudaBackend,
  shape: readonly number[],
  { dtype }: tf.TensorInfo,
): { info: tf.TensorInfo; address: number } {
  return backend.allocate(shape, dtype === 'int32' ? 'int32' : 'float32');
}

/** Numbers of 32 bits, on no more axes than the kernels take. */
function fits(x: tf.TensorInfo | undefined): x is tf.TensorInfo {
  return (
    x !== undefined && (x.dtype === 'float32' || x.dtype === 'int32') && x.shape.length <= RANK
  );
}

function isFloat(x: tf.TensorInfo | undefined): x is tf.TensorInfo {
  return x !== undefined && x.dtype === 'float32';
}

function sizeOf(shape: readonly number[]): number {
  return tf.util.sizeFromShape([...shape]);
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.map(Number) : [Number(value)];
}

/** Values of a bool or int32 tensor. */
function numeric(values: tf.BackendValues): Uint8Array | Float32Array | Int32Array {
  return ArrayBuffer.isView(values) ? values : Int32Array.from(values.map(Number));
}

function isPairs(value: unknown): value is [number, number][] {
  return Array.isArray(value) && value.every((pair) => Array.isArray(pair) && pair.length === 2);
}

function each<K extends string>(
  ids: Record<K, number>,
  run: (id: number) => CoreRun,
): Record<string, CoreRun> {
  const entries = Object.entries<number>(ids).map(([name, id]) => [name, run(id)] as const);
  return Object.fromEntries(entries);
}
