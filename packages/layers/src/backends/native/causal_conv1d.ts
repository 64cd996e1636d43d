// CausalConv1d; its window is updated in place where that is allowed.
import { infosOf, nativeKernel, optionalAddress, stateOutput } from './kernel.js';

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
