// tfjs's ops that only move numbers: slices, splits, joins, padding, transposes of float32; what states
// need, of int32 too.
import * as tf from '@tensorflow/tfjs-core';
import { CopyArg } from '../../../../assembly/core/args.js';
import { KernelId } from '../../../../assembly/kernel_ids.js';
import { ArgumentLayout } from '../arguments.js';
import type { SimdBackend } from '../backend.js';
import { coreKernel, isFloat, sizeOf, type Tensors } from './core_kernel.js';
import { transposeMatrix } from './mat_mul.js';

const copyArguments = new ArgumentLayout(CopyArg);

/** Copies rows of `count` numbers; the strides are numbers too. */
function copyRows(
  { runtime }: SimdBackend,
  from: number,
  fromStride: number,
  to: number,
  toStride: number,
  rows: number,
  count: number,
): void {
  const strides = { fromStride: fromStride * 4, toStride: toStride * 4 };
  copyArguments.write(runtime, { from, to, ...strides, rowBytes: count * 4 });
  runtime.run(KernelId.Copy2d, rows, runtime.chunk(count));
}

/** Numbers of a piece of a gathered row, which threads share. */
const PIECE = 4096;

/** The only axis that a slice cuts; -1 for none, undefined for several. */
function cutAxis(from: readonly number[], to: readonly number[]): number | undefined {
  const cut = from.map((size, i) => size !== to[i]);
  const axis = cut.indexOf(true);
  return axis === cut.lastIndexOf(true) ? axis : undefined;
}

function sliceAxis(
  backend: SimdBackend,
  x: tf.TensorInfo,
  axis: number,
  begin: number,
  size: number,
): tf.TensorInfo {
  const shape = x.shape.map((n, i) => (i === axis ? size : n));
  const inner = sizeOf(x.shape.slice(axis + 1));
  const whole = (x.shape[axis] ?? 1) * inner;
  const from = backend.address(x) + begin * inner * 4;
  const y = backend.allocate(shape);
  const rows = sizeOf(x.shape.slice(0, axis));
  copyRows(backend, from, whole, y.address, size * inner, rows, size * inner);
  return y.info;
}

/** Whether all are float32, or all int32. */
function isWords(...tensors: tf.TensorInfo[]): boolean {
  const isInt = tensors.every(({ dtype, shape }) => dtype === 'int32' && sizeOf(shape) > 0);
  return isInt || isFloat(...tensors);
}

function wordType({ dtype }: tf.TensorInfo): 'float32' | 'int32' {
  return dtype === 'int32' ? dtype : 'float32';
}

export const shapeKernels: readonly tf.KernelConfig[] = [
  coreKernel<Tensors<'x'>, tf.SliceAttrs>(tf.Slice, ({ x }, { begin, size }, backend) => {
    if (!isFloat(x)) return undefined;
    // slice_util resolves sizes of -1; only tensors' shapes matter to it.
    const [starts = [], sizes = []] = tf.slice_util.parseSliceParams(x as tf.Tensor, begin, size);
    if (sizeOf(sizes) === 0) return undefined;
    tf.slice_util.assertParamsValid(x as tf.Tensor, starts, sizes);
    const axis = cutAxis(x.shape, sizes);
    if (axis === undefined) return undefined;
    const at = Math.max(axis, 0);
    return sliceAxis(backend, x, at, starts[at] ?? 0, sizes[at] ?? 1);
  }),
  coreKernel<Tensors<'x'>, tf.SplitVAttrs>(
    tf.SplitV,
    ({ x }, { numOrSizeSplits, axis }, backend) => {
      if (!isFloat(x)) return undefined;
      const at = tf.util.parseAxisParam(axis, x.shape)[0] ?? 0;
      const sizes = tf.backend_util.prepareSplitSize(x as tf.Tensor, numOrSizeSplits, at);
      if (sizes.includes(0)) return undefined;
      let begin = 0;
      return sizes.map((size) => {
        const part = sliceAxis(backend, x, at, begin, size);
        begin += size;
        return part;
      });
    },
  ),
  coreKernel<object, tf.ConcatAttrs>(tf.Concat, (inputs, { axis }, backend) => {
    // tfjs passes the list as an object with a length.
    const parts = (inputs as unknown as tf.TensorInfo[]).filter((t) => sizeOf(t.shape) > 0);
    const [first] = parts;
    if (!first || parts.length < 2 || !isWords(...parts)) return undefined;
    const at = tf.util.parseAxisParam(axis, first.shape)[0] ?? 0;
    const shape = tf.backend_util.computeOutShape(
      parts.map((t) => t.shape),
      at,
    );
    const inner = sizeOf(shape.slice(at + 1));
    const rows = sizeOf(shape.slice(0, at));
    const whole = (shape[at] ?? 1) * inner;
    const addresses = parts.map((t) => backend.address(t));
    const y = backend.allocate(shape, wordType(first));
    let to = y.address;
    parts.forEach((t, i) => {
      const count = (t.shape[at] ?? 1) * inner;
      copyRows(backend, addresses[i] ?? 0, count, to, whole, rows, count);
      to += count * 4;
    });
    return y.info;
  }),
  coreKernel<Tensors<'x' | 'indices'>, tf.GatherV2Attrs>(
    tf.GatherV2,
    ({ x, indices }, { axis, batchDims }, backend) => {
      const at = tf.util.parseAxisParam(axis, x.shape)[0];
      if (!isWords(x) || at !== 0 || batchDims !== 0) return undefined;
      const [length = 0, ...rest] = x.shape;
      const places = backend.readSync(indices.dataId);
      const count = sizeOf(rest);
      const from = backend.address(x);
      const y = backend.allocate([...indices.shape, ...rest], wordType(x));
      const piece = count % PIECE === 0 ? PIECE : count;
      for (let i = 0; i < places.length; i++) {
        const place = Number(places[i]);
        tf.util.assert(place >= 0 && place < length, () => `gather: index ${place} of ${length}`);
        const [source, to] = [from + place * count * 4, y.address + i * count * 4];
        copyRows(backend, source, piece, to, piece, count / piece, piece);
      }
      return y.info;
    },
  ),
  coreKernel<Tensors<'x'>, tf.PadV2Attrs>(
    tf.PadV2,
    ({ x }, { paddings, constantValue }, backend) => {
      const padded = paddings.map(([before, after]) => before + after > 0);
      const axis = padded.indexOf(true);
      if (!isWords(x) || axis < 0 || axis !== padded.lastIndexOf(true)) return undefined;
      const shape = x.shape.map((n, i) => n + (paddings[i]?.[0] ?? 0) + (paddings[i]?.[1] ?? 0));
      const inner = sizeOf(shape.slice(axis + 1));
      const from = backend.address(x);
      const y = backend.allocate(shape, wordType(x));
      if (x.dtype === 'int32') backend.runtime.ints(y.address, sizeOf(shape)).fill(constantValue);
      else backend.runtime.floats(y.address, sizeOf(shape)).fill(constantValue);
      const count = (x.shape[axis] ?? 1) * inner;
      const to = y.address + (paddings[axis]?.[0] ?? 0) * inner * 4;
      const rows = sizeOf(shape.slice(0, axis));
      copyRows(backend, from, count, to, (shape[axis] ?? 1) * inner, rows, count);
      return y.info;
    },
  ),
  coreKernel<Tensors<'x'>, tf.TransposeAttrs>(tf.Transpose, ({ x }, { perm }, backend) => {
    const last = perm.length - 1;
    const swapsLast =
      perm.length >= 2 &&
      perm[last] === last - 1 &&
      perm[last - 1] === last &&
      perm.slice(0, -2).every((axis, i) => axis === i);
    if (!swapsLast || !isFloat(x)) return undefined;
    const [rows = 1, columns = 1] = x.shape.slice(-2);
    const from = backend.address(x);
    const y = backend.allocate([...x.shape.slice(0, -2), columns, rows]);
    const count = sizeOf(x.shape.slice(0, -2));
    for (let i = 0; i < count; i++) {
      const at = i * rows * columns * 4;
      transposeMatrix(backend, from + at, y.address + at, rows, columns);
    }
    return y.info;
  }),
];
