// tfjs's matMul, plain and fused, on float32: each number one chain of multiply-adds, as PackedMatMul's.
import * as tf from '@tensorflow/tfjs-core';
import { type Temporaries, withTemporaries } from '../../native/memory.js';
import type { SimdBackend } from '../backend.js';
import {
  floatBlocks,
  packPanels,
  panelByPanel,
  ROWS_WORTH_GATHERING,
  ROWS_WORTH_PACKING,
} from '../float_blocks.js';
import { KernelId } from '../kernel_ids.js';
import type { Runtime } from '../runtime.js';
import { coreKernel, isFloat, sizeOf, type Tensors } from './core_kernel.js';

interface Product {
  a: number;
  b: number;
  y: number;
  M: number;
  N: number;
  K: number;
  /** Whether a is (K, M) and not (M, K). */
  transposeA: boolean;
  /** Whether b is (N, K) and not (K, N). */
  transposeB: boolean;
  bias: number;
}

function multiply(runtime: Runtime, temporaries: Temporaries, product: Product): void {
  const { a, b, y, M, N, K, transposeA, transposeB, bias } = product;
  const isPacked = M >= ROWS_WORTH_PACKING;
  const plain = { matrix: b, transposed: !transposeB, outFeatures: N, columns: K };
  const weight = isPacked ? packPanels(runtime, temporaries, plain) : b;
  const panels = Math.ceil(N / 32);
  const cut =
    transposeA || M >= ROWS_WORTH_GATHERING
      ? floatBlocks(runtime, M, panels, transposeA)
      : panelByPanel(M, panels);
  const { args } = runtime;
  args[0] = weight;
  args[1] = a;
  args[2] = y;
  args[3] = M;
  args[4] = N;
  args[5] = K;
  args[6] = bias;
  args[7] = 0;
  args[8] = 0;
  args[12] = panels;
  args[13] = cut.block;
  args[14] = N;
  args[15] = N;
  args[16] = transposeA ? M : K;
  args[18] = isPacked ? 0 : transposeB ? K : N;
  args[19] = transposeB ? 0 : 1;
  args[20] = transposeA ? 1 : 0;
  args[21] = cut.atOnce;
  const chunk = runtime.chunk(32 * K * cut.block * Math.max(1, cut.atOnce));
  runtime.run(KernelId.MatMulF32, cut.units, chunk, cut.scratch);
}

/** x (rows, columns) at an address, transposed into another. */
export function transposeMatrix(
  { runtime }: SimdBackend,
  from: number,
  to: number,
  rows: number,
  columns: number,
): void {
  runtime.args.set([from, to, rows, columns]);
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
  const y = backend.allocate([...batch, M, N]);
  for (let i = 0; i < count; i++) {
    withTemporaries(backend.runtime.temporaries, (temporaries) => {
      multiply(backend.runtime, temporaries, {
        a: addresses.a + (countA === 1 ? 0 : i) * M * K * 4,
        b: addresses.b + (countB === 1 ? 0 : i) * N * K * 4,
        y: y.address + i * M * N * 4,
        M,
        N,
        K,
        transposeA,
        transposeB,
        bias: addresses.bias,
      });
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
