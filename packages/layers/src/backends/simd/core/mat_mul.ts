// The launches of tfjs's matMul: each value is one chain of multiply-adds, as in PackedMatMul.
import type { MatMulCall } from '../../native/core/core_ops.js';
import { floatMatMul } from '../float_matmul.js';
import type { Runtime } from '../runtime.js';

export function matMul(runtime: Runtime, call: MatMulCall): boolean {
  const { rows, depth, features, transposeA, transposeB, bias } = call;
  for (let i = 0; i < call.batch; i++) {
    floatMatMul(runtime, {
      format: 'f32',
      x: call.a + i * call.aStep * 4,
      xStride: transposeA ? rows : depth,
      xTransposed: transposeA,
      rows,
      weight: call.b + i * call.bStep * 4,
      weightStride: transposeB ? depth : features,
      weightTransposed: !transposeB,
      outFeatures: features,
      columns: depth,
      bias,
      residual: 0,
      y: call.y + i * rows * features * 4,
      yStride: features,
      chunk: ({ block, atOnce }) => runtime.chunk(32 * depth * block * Math.max(1, atOnce)),
    });
  }
  return true;
}
