// CausalConv1d, which updates its window in place where that is allowed, and CausalConv1dGrad.
import {
  gradientKernel,
  infosOf,
  nativeKernel,
  optionalAddress,
  optionalOutput,
  stateOutput,
} from './kernel.js';

export const causalConv1dKernel = nativeKernel(
  'CausalConv1d',
  ({ x, weight, bias, state }, { activation, returnState }, tensors) => {
    const [batch = 0, length = 0, channels = 0] = x.shape;
    const width = weight.shape[1] ?? 0;
    const y = tensors.allocate(x.shape);
    const before = optionalAddress(tensors, state);
    const after = returnState ? stateOutput(tensors, state, [batch, width, channels]) : undefined;
    tensors.ops.convolve({
      x: tensors.address(x),
      xStride: channels,
      weight: tensors.address(weight),
      bias: optionalAddress(tensors, bias),
      before,
      after: after?.address ?? 0,
      y: y.address,
      yStride: channels,
      batch,
      length,
      channels,
      width,
      activation,
    });
    return infosOf([y, after]);
  },
);

/** Outputs [dx, dweight, dbias?, dstate?]. */
export const causalConv1dGradKernel = gradientKernel(
  'CausalConv1dGrad',
  ({ x, weight, bias, state, dy, dstateOut }, { activation }, tensors) => {
    const [batch = 0, length = 0, channels = 0] = x.shape;
    const dx = tensors.allocate(x.shape);
    const dweight = tensors.allocate(weight.shape);
    const dbias = optionalOutput(tensors, bias);
    const dstate = optionalOutput(tensors, state);
    tensors.ops.convolveGrad({
      x: tensors.address(x),
      weight: tensors.address(weight),
      bias: optionalAddress(tensors, bias),
      before: optionalAddress(tensors, state),
      dy: tensors.address(dy),
      dafter: optionalAddress(tensors, dstateOut),
      dx: dx.address,
      dweight: dweight.address,
      dbias: dbias?.address ?? 0,
      dbefore: dstate?.address ?? 0,
      batch,
      length,
      channels,
      width: weight.shape[1] ?? 0,
      activation,
    });
    return infosOf([dx, dweight, dbias, dstate]);
  },
);
