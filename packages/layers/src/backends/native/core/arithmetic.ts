// tfjs's elementwise ops, sums and matmuls on float32.
import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../sizes.js';
import {
  type CoreBackend,
  type CoreKernel,
  coreKernel,
  isFloat,
  type Tensors,
  written,
} from './core_kernel.js';

/** The ops that a backend's elementwise kernels have, by tfjs's names. */
export interface ElementwiseIds {
  binary: Readonly<Record<string, number>> & { Add: number };
  unary: Readonly<Record<string, number>>;
}

function binary(
  backend: CoreBackend,
  op: number,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
): tf.TensorInfo | undefined {
  const shape = tf.backend_util.assertAndGetBroadcastShape(a.shape, b.shape);
  const [aShape, bShape] = [a.shape, b.shape];
  const [atA, atB] = [backend.address(a), backend.address(b)];
  return written(backend, shape, 'float32', (y) =>
    backend.core.binary({ op, a: atA, aShape, b: atB, bShape, y, shape }),
  );
}

export function elementwiseKernels(ids: ElementwiseIds): readonly CoreKernel[] {
  return [
    ...Object.entries(ids.binary).map(([kernelName, op]) =>
      coreKernel<Tensors<'a' | 'b'>, object>(kernelName, ({ a, b }, _, backend) =>
        isFloat(a, b) ? binary(backend, op, a, b) : undefined,
      ),
    ),
    ...Object.entries(ids.unary).map(([kernelName, op]) =>
      coreKernel<Tensors<'x'>, object>(kernelName, ({ x }, _, backend) => {
        if (!isFloat(x)) return undefined;
        const from = backend.address(x);
        const y = backend.allocate(x.shape);
        backend.core.unary(op, from, y.address, sizeOf(x.shape));
        return y.info;
      }),
    ),
    coreKernel<tf.NamedTensorInfoMap, object>(tf.AddN, (inputs, _, backend) => {
      const [first, ...others] = Object.values(inputs).flatMap((x) => x ?? []);
      if (!first || others.length === 0 || !isFloat(first, ...others)) return undefined;
      let sum: tf.TensorInfo | undefined = first;
      for (const x of others) {
        const before: tf.TensorInfo = sum;
        sum = binary(backend, ids.binary.Add, before, x);
        if (before !== first) backend.disposeData(before.dataId);
        if (!sum) return undefined;
      }
      return sum;
    }),
  ];
}

/** Over neighbouring axes; axes of length 1 between them do not count. */
export const sumKernel = coreKernel<Tensors<'x'>, tf.SumAttrs>(
  tf.Sum,
  ({ x }, { axis, keepDims }, backend) => {
    if (!isFloat(x)) return undefined;
    const all = x.shape.map((_, i) => i);
    const axes = new Set(tf.util.parseAxisParam(axis ?? all, x.shape));
    const long = [...axes].filter((i) => (x.shape[i] ?? 1) > 1).sort((a, b) => a - b);
    const first = long[0] ?? 0;
    const end = (long.at(-1) ?? -1) + 1;
    const middle = x.shape.slice(first, end);
    if (middle.some((n, i) => n > 1 && !axes.has(first + i))) return undefined;
    const [outer, inner] = [sizeOf(x.shape.slice(0, first)), sizeOf(x.shape.slice(end))];
    const from = backend.address(x);
    const y = backend.allocate(
      x.shape.flatMap((n, i) => (axes.has(i) ? (keepDims ? [1] : []) : [n])),
    );
    backend.core.sumMiddle(from, y.address, outer, sizeOf(middle), inner);
    return y.info;
  },
);

interface MatMulInputs {
  a: tf.TensorInfo;
  b: tf.TensorInfo;
  bias?: tf.TensorInfo;
}

function matMul(
  { a, b, bias }: MatMulInputs,
  { transposeA, transposeB }: tf.BatchMatMulAttrs,
  backend: CoreBackend,
): tf.TensorInfo | undefined {
  if (!isFloat(a, b)) return undefined;
  const [aRows = 0, aColumns = 0] = a.shape.slice(-2);
  const [bRows = 0, bColumns = 0] = b.shape.slice(-2);
  const [rows, depth] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const features = transposeB ? bRows : bColumns;
  const [batchA, batchB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const [countA, countB] = [sizeOf(batchA), sizeOf(batchB)];
  if (countA !== countB && countA !== 1 && countB !== 1) return undefined;
  if ((transposeB ? bColumns : bRows) !== depth) return undefined; // the CPU's kernel says what is wrong
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(batchA, batchB);
  const call = {
    batch: sizeOf(batch),
    rows,
    depth,
    features,
    a: backend.address(a),
    aStep: countA === 1 ? 0 : rows * depth,
    transposeA,
    b: backend.address(b),
    bStep: countB === 1 ? 0 : depth * features,
    transposeB,
    bias: bias ? backend.address(bias) : 0,
    y: 0,
  };
  return written(backend, [...batch, rows, features], 'float32', (y) => {
    call.y = y;
    return backend.core.matMul(call);
  });
}

export const matMulKernels: readonly CoreKernel[] = [
  coreKernel<MatMulInputs, tf.BatchMatMulAttrs>(tf.BatchMatMul, matMul),
  coreKernel<MatMulInputs, tf._FusedMatMulAttrs>(tf._FusedMatMul, (inputs, attrs, backend) => {
    const { b, bias } = inputs;
    const [features = 0] = attrs.transposeB ? b.shape.slice(-2) : b.shape.slice(-1);
    const fits =
      bias === undefined || (bias.dtype === 'float32' && sizeOf(bias.shape) === features);
    return fits && attrs.activation === 'linear' ? matMul(inputs, attrs, backend) : undefined;
  }),
];
