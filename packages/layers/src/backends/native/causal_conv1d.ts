// CausalConv1d, which updates its window in place where that is allowed, and CausalConv1dGrad.
import {
  addressesOf,
  gradientKernel,
  infosOf,
  nativeKernel,
  outputsLike,
  stateOutput,
} from './kernel.js';

export const causalConv1dKernel = nativeKernel(
  'CausalConv1d',
  ({ x, weight, bias, state }, { activation, returnState }, tensors) => {
    const [batch = 0, length = 0, channels = 0] = x.shape;
    const width = weight.shape[1] ?? 0;
    const y = tensors.allocate(x.shape);
    const addresses = addressesOf(tensors, { x, weight, bias, before: state });
    const after = returnState ? stateOutput(tensors, state, [batch, width, channels]) : undefined;
    const sizes = { batch, length, channels, width, activation };
    const places = { y: y.address, after: after?.address ?? 0 };
    const strides = { xStride: channels, yStride: channels };
    tensors.ops.convolve(Object.assign(addresses, sizes, places, strides));
    return infosOf([y, after]);
  },
);

/** Outputs [dx, dweight, dbias?, dstate?]. */
export const causalConv1dGradKernel = gradientKernel(
  'CausalConv1dGrad',
  ({ x, weight, bias, state, dy, dstateOut }, { activation }, tensors) => {
    const [batch = 0, length = 0, channels = 0] = x.shape;
    const width = weight.shape[1] ?? 0;
    const made = { dx: x, dweight: weight, dbias: bias, dbefore: state };
    const { infos, addresses } = outputsLike(tensors, made);
    const read = { x, weight, bias, before: state, dy, dafter: dstateOut };
    const sizes = { batch, length, channels, width, activation };
    tensors.ops.convolveGrad(Object.assign(addresses, addressesOf(tensors, read), sizes));
    return infos;
  },
);
