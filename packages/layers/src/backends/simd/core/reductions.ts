// tfjs's sums, maxima and softmax on float32.
import * as tf from '@tensorflow/tfjs-core';
import { RowsArg } from '../../../../assembly/core/args.js';
import { KernelId } from '../../../../assembly/kernel_ids.js';
import { ArgumentLayout } from '../arguments.js';
import { coreKernel, isFloat, sizeOf, type Tensors } from './core_kernel.js';
import { sumMiddle } from './sum_middle.js';

const rowsArguments = new ArgumentLayout(RowsArg);

export const reductionKernels: readonly tf.KernelConfig[] = [
  coreKernel<Tensors<'x'>, tf.SumAttrs>(tf.Sum, ({ x }, { axis, keepDims }, backend) => {
    if (!isFloat(x)) return undefined;
    const axes = tf.util.parseAxisParam(axis, x.shape).sort((a, b) => a - b);
    const [first = 0] = axes;
    const end = (axes.at(-1) ?? -1) + 1;
    // Only neighbouring axes are one middle axis.
    if (axes.length === 0 || end - first !== axes.length) return undefined;
    const outer = sizeOf(x.shape.slice(0, first));
    const middle = sizeOf(x.shape.slice(first, end));
    const inner = sizeOf(x.shape.slice(end));
    const kept = keepDims ? axes.map(() => 1) : [];
    const from = backend.address(x);
    const y = backend.allocate([...x.shape.slice(0, first), ...kept, ...x.shape.slice(end)]);
    sumMiddle(backend.runtime, from, y.address, outer, middle, inner);
    return y.info;
  }),
  coreKernel<Tensors<'x'>, tf.MaxAttrs>(
    tf.Max,
    ({ x }, { reductionIndices, keepDims }, backend) => {
      const axes = tf.util.parseAxisParam(reductionIndices, x.shape);
      if (!isFloat(x) || axes.length !== 1 || axes[0] !== x.shape.length - 1) return undefined;
      const columns = x.shape.at(-1) ?? 1;
      const rows = sizeOf(x.shape) / columns;
      const from = backend.address(x);
      const y = backend.allocate([...x.shape.slice(0, -1), ...(keepDims ? [1] : [])]);
      const { runtime } = backend;
      rowsArguments.write(runtime, { x: from, y: y.address, columns });
      runtime.run(KernelId.Max, rows, runtime.chunk(columns));
      return y.info;
    },
  ),
  coreKernel<Tensors<'logits'>, tf.SoftmaxAttrs>(tf.Softmax, ({ logits }, { dim }, backend) => {
    const axis = dim < 0 ? dim + logits.shape.length : dim;
    if (!isFloat(logits) || axis !== logits.shape.length - 1) return undefined;
    const columns = logits.shape.at(-1) ?? 1;
    const rows = sizeOf(logits.shape) / columns;
    const from = backend.address(logits);
    const y = backend.allocate(logits.shape);
    const { runtime } = backend;
    rowsArguments.write(runtime, { x: from, y: y.address, columns });
    runtime.run(KernelId.Softmax, rows, runtime.chunk(columns * 16));
    return y.info;
  }),
];
