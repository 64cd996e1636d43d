// tfjs's elementwise ops on float32.
import * as tf from '@tensorflow/tfjs-core';
import { BinaryArg, BinaryOp, UnaryArg, UnaryOp } from '../../../../assembly/core/args.js';
import { KernelId } from '../../../../assembly/kernel_ids.js';
import { ArgumentLayout } from '../arguments.js';
import { coreKernel, isFloat, sizeOf, type Tensors } from './core_kernel.js';

/** Numbers of a unit; see assembly/core/elementwise.ts. */
const SPAN = 4096;

const binaryArguments = new ArgumentLayout(BinaryArg);
const unaryArguments = new ArgumentLayout(UnaryArg);

function binaryKernel(kernelName: string, op: BinaryOp): tf.KernelConfig {
  return coreKernel<Tensors<'a' | 'b'>, object>(kernelName, ({ a, b }, _, backend) => {
    if (!isFloat(a, b)) return undefined;
    const shape = tf.backend_util.assertAndGetBroadcastShape(a.shape, b.shape);
    const walkA = walkOf(a.shape, shape);
    const walkB = walkOf(b.shape, shape);
    if (!walkA || !walkB) return undefined;
    const { runtime } = backend;
    const operands = { a: backend.address(a), b: backend.address(b) };
    const y = backend.allocate(shape);
    const size = sizeOf(shape);
    const walks = {
      ...{ aRepeat: walkA.repeat, aCount: walkA.count },
      ...{ bRepeat: walkB.repeat, bCount: walkB.count },
    };
    binaryArguments.write(runtime, { ...operands, y: y.address, size, op, ...walks });
    const units = Math.ceil(size / SPAN);
    runtime.run(KernelId.Binary, units, runtime.chunk(SPAN));
    return y.info;
  });
}

/**
 * How a tensor is walked over while the output is: each number `repeat` times, `count` numbers, over
 * and over. Undefined where its axes of size 1 are not all first, or all last.
 */
function walkOf(
  shape: readonly number[],
  output: readonly number[],
): { repeat: number; count: number } | undefined {
  const aligned = [...Array(output.length - shape.length).fill(1), ...shape];
  const count = sizeOf(shape);
  const stretched = output.map((size, i) => size !== 1 && aligned[i] === 1);
  const first = stretched.indexOf(true);
  if (first < 0 || count === 1) return { repeat: 1, count };
  const last = stretched.lastIndexOf(true);
  if (stretched.slice(first, last + 1).some((s, i) => !s && output[first + i] !== 1)) {
    return undefined;
  }
  const before = sizeOf(output.slice(0, first));
  const after = sizeOf(output.slice(last + 1));
  if (before === 1) return { repeat: 1, count };
  if (after === 1) return { repeat: sizeOf(output.slice(first, last + 1)), count };
  return undefined;
}

function unaryKernel(kernelName: string, op: UnaryOp): tf.KernelConfig {
  return coreKernel<Tensors<'x'>, object>(kernelName, ({ x }, _, backend) => {
    if (!isFloat(x)) return undefined;
    const { runtime } = backend;
    const from = backend.address(x);
    const y = backend.allocate(x.shape);
    const size = sizeOf(x.shape);
    unaryArguments.write(runtime, { x: from, y: y.address, size, op });
    const units = Math.ceil(size / SPAN);
    runtime.run(KernelId.Unary, units, runtime.chunk(SPAN * 4));
    return y.info;
  });
}

export const elementwiseKernels: readonly tf.KernelConfig[] = [
  binaryKernel(tf.Add, BinaryOp.Add),
  binaryKernel(tf.Sub, BinaryOp.Sub),
  binaryKernel(tf.Multiply, BinaryOp.Multiply),
  binaryKernel(tf.RealDiv, BinaryOp.RealDiv),
  binaryKernel(tf.Maximum, BinaryOp.Maximum),
  binaryKernel(tf.Minimum, BinaryOp.Minimum),
  binaryKernel(tf.SquaredDifference, BinaryOp.SquaredDifference),
  unaryKernel(tf.Neg, UnaryOp.Neg),
  unaryKernel(tf.Square, UnaryOp.Square),
  unaryKernel(tf.Sqrt, UnaryOp.Sqrt),
  unaryKernel(tf.Rsqrt, UnaryOp.Rsqrt),
  unaryKernel(tf.Abs, UnaryOp.Abs),
  unaryKernel(tf.Sigmoid, UnaryOp.Sigmoid),
  unaryKernel(tf.Exp, UnaryOp.Exp),
];
