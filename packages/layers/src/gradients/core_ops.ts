// Gradients of tfjs-core ops that the layers use.
//
// tfjs-core alone registers no gradients (the package @tensorflow/tfjs does). Gradients that are registered
// already are kept.
import * as tf from '@tensorflow/tfjs-core';
import { output } from '../registry.js';

type Gradient = (dy: tf.Tensor, saved: tf.Tensor[], attrs: tf.NamedAttrMap) => Gradients;
type Gradients = Record<string, () => tf.Tensor>;

function register(kernelName: string, inputsToSave: string[], gradient: Gradient): void {
  if (tf.getGradient(kernelName) != null) return;
  tf.registerGradient({
    kernelName,
    inputsToSave,
    gradFunc: (dy, saved, attrs) => gradient(Array.isArray(dy) ? output(dy, 0) : dy, saved, attrs),
  });
}

/** Sums over the axes along which a tensor of `shape` was broadcast. */
function unbroadcast(dy: tf.Tensor, { shape }: tf.Tensor): tf.Tensor {
  const axes = tf.broadcast_util.getReductionAxes(shape, dy.shape);
  return tf.reshape(axes.length > 0 ? tf.sum(dy, axes) : dy, shape);
}

function binary(
  kernelName: string,
  da: (dy: tf.Tensor, a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
  db: (dy: tf.Tensor, a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
): void {
  register(kernelName, ['a', 'b'], (dy, saved) => {
    const [a, b] = [output(saved, 0), output(saved, 1)];
    return { a: () => unbroadcast(da(dy, a, b), a), b: () => unbroadcast(db(dy, a, b), b) };
  });
}

function unary(kernelName: string, dx: (dy: tf.Tensor, x: tf.Tensor) => tf.Tensor): void {
  register(kernelName, ['x'], (dy, saved) => ({ x: () => dx(dy, output(saved, 0)) }));
}

binary(
  'Add',
  (dy) => dy,
  (dy) => dy,
);
binary(
  'Sub',
  (dy) => dy,
  (dy) => tf.neg(dy),
);
binary(
  'Multiply',
  (dy, _, b) => tf.mul(dy, b),
  (dy, a) => tf.mul(dy, a),
);
binary(
  'RealDiv',
  (dy, _, b) => tf.div(dy, b),
  (dy, a, b) => tf.neg(tf.div(tf.mul(dy, a), tf.square(b))),
);

unary('Identity', (dy) => tf.clone(dy));
unary('Cast', (dy) => tf.clone(dy));
unary('Neg', (dy) => tf.neg(dy));
unary('Exp', (dy, x) => tf.mul(dy, tf.exp(x)));
unary('Log', (dy, x) => tf.div(dy, x));
unary('Square', (dy, x) => tf.mul(dy, tf.mul(x, 2)));
unary('Rsqrt', (dy, x) => tf.mul(dy, tf.mul(tf.pow(x, -1.5), -0.5)));
unary('Reshape', (dy, x) => tf.reshape(dy, x.shape));

register('ExpandDims', ['input'], (dy, saved) => ({
  input: () => tf.reshape(dy, output(saved, 0).shape),
}));

register('Transpose', [], (dy, _, attrs) => ({
  x: () => tf.transpose(dy, tf.backend_util.getUndoAxesPermutation(numbers(attrs.perm))),
}));

register('Slice', ['x'], (dy, saved, attrs) => {
  const x = output(saved, 0);
  const begin = numbers(attrs.begin);
  const paddings = x.shape.map((size, axis): [number, number] => {
    const before = begin[axis] ?? 0;
    return [before, size - before - (dy.shape[axis] ?? 0)];
  });
  return { x: () => tf.pad(dy, paddings) };
});

register('PadV2', ['x'], (dy, saved, attrs) => {
  const x = output(saved, 0);
  const paddings = Array.isArray(attrs.paddings) ? attrs.paddings : [];
  const begin = x.shape.map((_, axis) => numbers(paddings[axis])[0] ?? 0);
  return { x: () => tf.slice(dy, begin, x.shape) };
});

register('Sum', ['x'], (dy, saved, attrs) => {
  const x = output(saved, 0);
  return { x: () => tf.mul(expandReduced(dy, x, attrs.axis), tf.onesLike(x)) };
});

register('Mean', ['x'], (dy, saved, attrs) => {
  const x = output(saved, 0);
  const share = tf.onesLike(x);
  const reduced = x.size / dy.size;
  return { x: () => tf.div(tf.mul(expandReduced(dy, x, attrs.axis), share), reduced) };
});

register('BatchMatMul', ['a', 'b'], (dy, saved, { transposeA, transposeB }) => {
  const [a, b] = [output(saved, 0), output(saved, 1)];
  return {
    a: () =>
      transposeA ? tf.matMul(b, dy, !!transposeB, true) : tf.matMul(dy, b, false, !transposeB),
    b: () =>
      transposeB ? tf.matMul(dy, a, true, !!transposeA) : tf.matMul(a, dy, !transposeA, false),
  };
});

if (tf.getGradient('SplitV') == null) {
  tf.registerGradient({
    kernelName: 'SplitV',
    gradFunc: (dy, _, attrs) => {
      const parts = Array.isArray(dy) ? dy : [dy];
      return { x: () => tf.concat(parts, Number(attrs.axis)) };
    },
  });
}

if (tf.getGradient('Concat') == null) {
  tf.registerGradient({
    kernelName: 'Concat',
    saveAllInputs: true,
    gradFunc: (dy, saved, attrs) => {
      const whole = Array.isArray(dy) ? output(dy, 0) : dy;
      const [axis = 0] = tf.util.parseAxisParam(Number(attrs.axis), whole.shape);
      const parts = tf.split(
        whole,
        saved.map((t) => t.shape[axis] ?? 0),
        axis,
      );
      return Object.fromEntries(parts.map((part, i) => [i, () => part]));
    },
  });
}

if (tf.getGradient('AddN') == null) {
  tf.registerGradient({
    kernelName: 'AddN',
    saveAllInputs: true,
    gradFunc: (dy, saved) => {
      const one = Array.isArray(dy) ? output(dy, 0) : dy;
      return Object.fromEntries(saved.map((_, i) => [i, () => tf.clone(one)]));
    },
  });
}

/** dy of a reduction, with its reduced axes restored as size 1. */
function expandReduced(dy: tf.Tensor, x: tf.Tensor, axis: unknown): tf.Tensor {
  const given = axis === undefined || axis === null ? x.shape.map((_, i) => i) : axis;
  const axes = tf.util.parseAxisParam(numbers(given), x.shape);
  return tf.reshape(
    dy,
    tf.backend_util.expandShapeToKeepDim(
      x.shape.filter((_, i) => !axes.includes(i)),
      axes,
    ),
  );
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.map(Number) : [Number(value)];
}
