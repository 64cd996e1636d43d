// tfjs's matMul, plain and fused, on float32: each number one chain of multiply-adds, as PackedMatMul's.
import * as tf from '@tensorflow/tfjs-core';
import { TransposeArg } from '../../../../assembly/core/args.js';
import { KernelId } from '../../../../assembly/kernel_ids.js';
import { ArgumentLayout } from '../arguments.js';
import type { SimdBackend } from '../backend.js';
import { floatMatMul } from '../float_matmul.js';
import { coreKernel, isFloat, sizeOf, type Tensors } from './core_kernel.js';

const transposeArguments = new ArgumentLayout(TransposeArg);

/** x (rows, columns) at an address, transposed into another. */
export function transposeMatrix(
  { runtime }: SimdBackend,
  from: number,
  to: number,
  rows: number,
  columns: number,
): void {
  transposeArguments.write(runtime, { x: from, y: to, rows, columns });
  const units = Math.ceil(rows / 4);
  runtime.run(KernelId.Transpose, units, runtime.chunk(columns * 4));
}

interface MatMulInputs {
  a: tf.TensorInfo;
  b: tf.TensorInfo;
  bias?: tf.TensorInfo;
  preluActivationWeights?: tf.TensorInfo;
}

function run(
  { a, b, bias }: MatMulInputs,
  { transposeA, transposeB }: { transposeA: boolean; transposeB: boolean },
  backend: SimdBackend,
): tf.TensorInfo | undefined {
  const [aRows = 0, aColumns = 0] = a.shape.slice(-2);
  const [bRows = 0, bColumns = 0] = b.shape.slice(-2);
  const [M, K] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const N = transposeB ? bRows : bColumns;
  const batchA = a.shape.slice(0, -2);
  const batchB = b.shape.slice(0, -2);
  const [countA, countB] = [sizeOf(batchA), sizeOf(batchB)];
  if (countA !== countB && countA !== 1 && countB !== 1) return undefined;
  if ((transposeB ? bColumns : bRows) !== K) return undefined; // the CPU's kernel says what is wrong
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(batchA, batchB);
  const count = Math.max(countA, countB);
  const addresses = {
    a: backend.address(a),
    b: backend.address(b),
    bias: bias ? backend.address(bias) : 0,
  };
  const { runtime } = backend;
  const y = backend.allocate([...batch, M, N]);
  for (let i = 0; i < count; i++) {
    floatMatMul(runtime, {
      format: 'f32',
      x: addresses.a + (countA === 1 ? 0 : i) * M * K * 4,
      xStride: transposeA ? M : K,
      xTransposed: transposeA,
      rows: M,
      weight: addresses.b + (countB === 1 ? 0 : i) * N * K * 4,
      weightStride: transposeB ? K : N,
      weightTransposed: !transposeB,
      outFeatures: N,
      columns: K,
      bias: addresses.bias,
      residual: 0,
      y: y.address + i * M * N * 4,
      yStride: N,
      chunk: ({ block, atOnce }) => runtime.chunk(32 * K * block * Math.max(1, atOnce)),
    });
  }
  return y.info;
}

export const matMulKernels: readonly tf.KernelConfig[] = [
  coreKernel<Tensors<'a' | 'b'>, tf.BatchMatMulAttrs>(tf.BatchMatMul, ({ a, b }, attrs, backend) =>
    isFloat(a, b) ? run({ a, b }, attrs, backend) : undefined,
  ),
  coreKernel<MatMulInputs, tf._FusedMatMulAttrs>(
    tf._FusedMatMul,
    ({ a, b, bias }, attrs, backend) => {
      const [N = 0] = attrs.transposeB ? b.shape.slice(-2) : b.shape.slice(-1);
      const fits = bias === undefined || (bias.dtype === 'float32' && sizeOf(bias.shape) === N);
      if (!fits || attrs.activation !== 'linear' || !isFloat(a, b)) return undefined;
      return run({ a, b, ...(bias && { bias }) }, attrs, backend);
    },
  ),
];
