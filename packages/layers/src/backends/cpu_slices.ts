// Slice and SplitV of tfjs's backend `cpu`, with rows copied at once. The stock kernels compute the place of each
// element as a list, which took half of the time of a decoded token.
import * as tf from '@tensorflow/tfjs-core';

type KernelFunc = tf.KernelConfig['kernelFunc'];
type Numbers = Float32Array | Int32Array | Uint8Array;

let isRegistered = false;

/** Replaces the two kernels. Values, shapes and types stay the same for every input. */
export function registerCpuSlices(): void {
  if (isRegistered) return;
  isRegistered = true;
  replace(tf.Slice, (stock) => (call) => {
    const { x } = call.inputs;
    const { begin, size } = call.attrs ?? {};
    const values = x && numbersOf(x);
    if (!values || !isList(begin) || !isList(size)) return stock(call);
    const [from = [], shape = []] = tf.slice_util.parseSliceParams(x, begin, size);
    tf.slice_util.assertParamsValid(x, from, shape);
    return sliceOf(x, values, from, shape);
  });
  replace(tf.SplitV, (stock) => (call) => {
    const { x } = call.inputs;
    const { numOrSizeSplits: sizes, axis } = call.attrs ?? {};
    const values = x && numbersOf(x);
    const isSplit = isList(sizes) || typeof sizes === 'number';
    if (!values || !isSplit || typeof axis !== 'number') return stock(call);
    const [along = 0] = tf.util.parseAxisParam(axis, x.shape);
    const begin = x.shape.map(() => 0);
    return tf.backend_util.prepareSplitSize(x, sizes, along).map((count) => {
      const part = sliceOf(x, values, begin, x.shape.with(along, count));
      begin[along] = (begin[along] ?? 0) + count;
      return part;
    });
  });
}

function replace(kernelName: string, better: (stock: KernelFunc) => KernelFunc): void {
  const stock = tf.getKernel(kernelName, 'cpu')?.kernelFunc;
  if (!stock) return;
  const own = better(stock);
  // Backends that start later take over cpu's kernels, and run them on their own memory.
  const kernelFunc: KernelFunc = (call) =>
    call.backend === tf.findBackend('cpu') ? own(call) : stock(call);
  tf.unregisterKernel(kernelName, 'cpu');
  tf.registerKernel({ kernelName, backendName: 'cpu', kernelFunc });
}

function isList(value: unknown): value is number[] {
  return Array.isArray(value);
}

/** The values of a tensor of numbers, without a copy. */
function numbersOf({ dataId, dtype }: tf.TensorInfo): Numbers | undefined {
  if (dtype === 'string' || dtype === 'complex64') return undefined;
  const values = tf.findBackend('cpu').readSync(dataId);
  return Array.isArray(values) ? undefined : values;
}

function sliceOf(
  x: tf.TensorInfo,
  values: Numbers,
  begin: readonly number[],
  shape: number[],
): tf.TensorInfo {
  const size = tf.util.sizeFromShape(shape);
  const strides = [...tf.util.computeStrides(x.shape), 1];
  const first = x.shape.reduce((sum, _, i) => sum + (begin[i] ?? 0) * (strides[i] ?? 0), 0);
  const write = (part: Numbers) => ({
    dataId: tf.findBackend('cpu').write(part, shape, x.dtype),
    ...{ shape, dtype: x.dtype },
  });
  if (tf.slice_util.isSliceContinous(x.shape, [...begin], shape)) {
    return write(values.subarray(first, first + size)); // as tfjs does: a view
  }
  // Elements are contiguous from the last axis that is cut.
  const cut = x.shape.findLastIndex((length, i) => length !== shape[i]);
  const rowLength = tf.util.sizeFromShape(shape.slice(cut));
  const part = values.slice(0, size);
  let to = 0;
  const copy = (axis: number, from: number): void => {
    if (axis === cut) {
      part.set(values.subarray(from, from + rowLength), to);
      to += rowLength;
      return;
    }
    for (let i = 0; i < (shape[axis] ?? 0); i++) copy(axis + 1, from + i * (strides[axis] ?? 0));
  };
  copy(0, first);
  return write(part);
}
