// tfjs's casts of integers and booleans to numbers of other bits.
import * as tf from '@tensorflow/tfjs-core';
import { coreKernel, type Tensors } from './core_kernel.js';

/** tfjs's own hands on the same memory under another dtype, which only JavaScript's numbers bear. */
export const castKernel = coreKernel<Tensors<'x'>, tf.CastAttrs>(
  tf.Cast,
  ({ x }, { dtype }, backend) => {
    if (x.dtype === dtype || (x.dtype !== 'int32' && x.dtype !== 'bool')) return undefined;
    if (dtype !== 'float32' && dtype !== 'int32') return undefined;
    const values: ArrayLike<unknown> = backend.readSync(x.dataId);
    const cast =
      dtype === 'float32' ? Float32Array.from(values, Number) : Int32Array.from(values, Number);
    return backend.makeTensorInfo(x.shape, dtype, cast);
  },
);
