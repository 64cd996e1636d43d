// tfjs's ops that only move numbers, of float32 and int32.
import * as tf from '@tensorflow/tfjs-core';
import { sizeOf, stridesOf } from '../sizes.js';
import {
  type CoreBackend,
  type CoreKernel,
  coreKernel,
  isWords,
  type Tensors,
  written,
} from './core_kernel.js';

function slice(
  backend: CoreBackend,
  x: tf.TensorInfo,
  begin: readonly number[],
  shape: readonly number[],
): tf.TensorInfo | undefined {
  const fromStrides = stridesOf(x.shape);
  const toStrides = stridesOf(shape);
  const from = backend.address(x) + offsetOf(fromStrides, begin) * 4;
  return written(backend, shape, x.dtype, (to) =>
    backend.core.copyStrided({ shape, from, fromStrides, to, toStrides }),
  );
}

/** Copies a whole tensor to a place in a larger one with these strides. */
function insert(
  backend: CoreBackend,
  x: tf.TensorInfo,
  to: number,
  strides: readonly number[],
): boolean {
  const { shape } = x;
  const [from, fromStrides] = [backend.address(x), stridesOf(shape)];
  return backend.core.copyStrided({ shape, from, fromStrides, to, toStrides: strides });
}

function offsetOf(strides: readonly number[], place: readonly number[]): number {
  return strides.reduce((sum, stride, i) => sum + stride * (place[i] ?? 0), 0);
}

/** The bits of a number in a tensor of this type. */
function bitsOf(value: number, dtype: tf.DataType): number {
  const [bits = 0] = dtype === 'int32' ? [value] : new Int32Array(Float32Array.of(value).buffer);
  return bits;
}

function filledLike(kernelName: string, value: number): CoreKernel {
  return coreKernel<Tensors<'x'>, object>(kernelName, ({ x }, _, backend) => {
    if (!isWords(x)) return undefined;
    return written(backend, x.shape, x.dtype, (to) => {
      backend.core.fill(to, sizeOf(x.shape), bitsOf(value, x.dtype));
      return true;
    });
  });
}

export const shapeKernels: readonly CoreKernel[] = [
  coreKernel<Tensors<'x'>, tf.SliceAttrs>(tf.Slice, ({ x }, { begin, size }, backend) => {
    if (!isWords(x)) return undefined;
    // slice_util resolves sizes of -1; only tensors' shapes matter to it.
    const [starts = [], sizes = []] = tf.slice_util.parseSliceParams(x, begin, size);
    if (sizeOf(sizes) === 0) return undefined;
    tf.slice_util.assertParamsValid(x, starts, sizes);
    return slice(backend, x, starts, sizes);
  }),
  coreKernel<Tensors<'x'>, tf.SplitVAttrs>(
    tf.SplitV,
    ({ x }, { numOrSizeSplits, axis }, backend) => {
      if (!isWords(x)) return undefined;
      const at = tf.util.parseAxisParam(axis, x.shape)[0] ?? 0;
      const sizes = tf.backend_util.prepareSplitSize(x, numOrSizeSplits, at);
      if (sizes.includes(0)) return undefined;
      let start = 0;
      const parts = sizes.map((length) => {
        const begin = x.shape.map((_, i) => (i === at ? start : 0));
        start += length;
        return slice(backend, x, begin, x.shape.with(at, length));
      });
      const made = parts.flatMap((part) => part ?? []);
      if (made.length === parts.length) return made;
      for (const { dataId } of made) backend.disposeData(dataId);
      return undefined;
    },
  ),
  // tfjs passes the list as an object with numbers for names.
  coreKernel<tf.NamedTensorInfoMap, tf.ConcatAttrs>(tf.Concat, (inputs, { axis }, backend) => {
    const parts = Object.values(inputs).flatMap((x) => (x && sizeOf(x.shape) > 0 ? [x] : []));
    const [first] = parts;
    if (!first || !isWords(...parts)) return undefined;
    const at = tf.util.parseAxisParam(axis, first.shape)[0] ?? 0;
    const shapes = parts.map((x) => x.shape);
    const shape = tf.backend_util.computeOutShape(shapes, at);
    const strides = stridesOf(shape);
    return written(backend, shape, first.dtype, (y) => {
      let to = y;
      return parts.every((x) => {
        const isCopied = insert(backend, x, to, strides);
        to += (x.shape[at] ?? 0) * (strides[at] ?? 0) * 4;
        return isCopied;
      });
    });
  }),
  coreKernel<Tensors<'x'>, tf.PadV2Attrs>(
    tf.PadV2,
    ({ x }, { paddings, constantValue }, backend) => {
      if (!isWords(x)) return undefined;
      const shape = x.shape.map((n, i) => n + (paddings[i]?.[0] ?? 0) + (paddings[i]?.[1] ?? 0));
      const strides = stridesOf(shape);
      const before = paddings.map(([count]) => count);
      return written(backend, shape, x.dtype, (to) => {
        backend.core.fill(to, sizeOf(shape), bitsOf(constantValue, x.dtype));
        return insert(backend, x, to + offsetOf(strides, before) * 4, strides);
      });
    },
  ),
  coreKernel<Tensors<'x'>, tf.TransposeAttrs>(tf.Transpose, ({ x }, { perm }, backend) => {
    if (!isWords(x)) return undefined;
    const strides = stridesOf(x.shape);
    const shape = perm.map((axis) => x.shape[axis] ?? 1);
    const from = backend.address(x);
    const fromStrides = perm.map((axis) => strides[axis] ?? 0);
    const toStrides = stridesOf(shape);
    return written(backend, shape, x.dtype, (to) =>
      backend.core.copyStrided({ shape, from, fromStrides, to, toStrides }),
    );
  }),
  coreKernel<Tensors<'x' | 'indices'>, tf.GatherV2Attrs>(
    tf.GatherV2,
    ({ x, indices }, { axis, batchDims }, backend) => {
      if (!isWords(x) || batchDims > 0) return undefined;
      if (!isWords(indices) || indices.dtype !== 'int32') return undefined;
      const at = tf.util.parseAxisParam(axis, x.shape)[0] ?? 0;
      const [before, after] = [x.shape.slice(0, at), x.shape.slice(at + 1)];
      const call = {
        ...{ x: backend.address(x), indices: backend.address(indices) },
        ...{ outer: sizeOf(before), length: x.shape[at] ?? 0, inner: sizeOf(after) },
        count: sizeOf(indices.shape),
        dtype: x.dtype === 'int32' ? x.dtype : ('float32' as const),
      };
      return written(backend, [...before, ...indices.shape, ...after], x.dtype, (y) =>
        backend.core.gather({ ...call, y }),
      );
    },
  ),
  filledLike(tf.OnesLike, 1),
  filledLike(tf.ZerosLike, 0),
  // tfjs's own hands on the same memory under another dtype, which only JavaScript's numbers bear.
  coreKernel<Tensors<'x'>, tf.CastAttrs>(tf.Cast, ({ x }, { dtype }, backend) => {
    if (x.dtype === dtype || (x.dtype !== 'int32' && x.dtype !== 'bool')) return undefined;
    if (dtype !== 'float32' && dtype !== 'int32') return undefined;
    const values: ArrayLike<unknown> = backend.readSync(x.dataId);
    const cast =
      dtype === 'float32' ? Float32Array.from(values, Number) : Int32Array.from(values, Number);
    return backend.makeTensorInfo(x.shape, dtype, cast);
  }),
];
