// tfjs's maximum and softmax of rows.
import * as tf from '@tensorflow/tfjs-core';
import { RowsArg } from '../../../../assembly/core/args.js';
import { KernelId } from '../../../../assembly/kernel_ids.js';
import { coreKernel, isFloat, type Tensors } from '../../native/core/core_kernel.js';
import { sizeOf } from '../../native/sizes.js';
import { ArgumentLayout } from '../arguments.js';
import type { SimdBackend } from '../backend.js';

const rowsArguments = new ArgumentLayout(RowsArg);

/** Runs a kernel on the rows of x. @param cost of one value */
function overRows(
  backend: SimdBackend,
  kernel: KernelId,
  x: tf.TensorInfo,
  shape: readonly number[],
  cost: number,
): tf.TensorInfo {
  const columns = x.shape.at(-1) ?? 1;
  const from = backend.address(x);
  const y = backend.allocate(shape);
  const { runtime } = backend;
  rowsArguments.write(runtime, { x: from, y: y.address, columns });
  runtime.run(kernel, sizeOf(x.shape) / columns, runtime.chunk(columns * cost));
  return y.info;
}

export const rowsKernels = [
  coreKernel<Tensors<'x'>, tf.MaxAttrs, SimdBackend>(
    tf.Max,
    ({ x }, { reductionIndices, keepDims }, backend) => {
      const axes = tf.util.parseAxisParam(reductionIndices, x.shape);
      if (!isFloat(x) || axes.length !== 1 || axes[0] !== x.shape.length - 1) return undefined;
      const shape = [...x.shape.slice(0, -1), ...(keepDims ? [1] : [])];
      return overRows(backend, KernelId.Max, x, shape, 1);
    },
  ),
  coreKernel<Tensors<'logits'>, tf.SoftmaxAttrs, SimdBackend>(
    tf.Softmax,
    ({ logits }, { dim }, backend) => {
      const axis = dim < 0 ? dim + logits.shape.length : dim;
      if (!isFloat(logits) || axis !== logits.shape.length - 1) return undefined;
      return overRows(backend, KernelId.Softmax, logits, logits.shape, 16);
    },
  ),
];
